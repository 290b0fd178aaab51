"""Papers: what an office prints, as PDF/A, made of what its log recorded and of nothing else.

`words` says numbers, dates, times and money as offices write them; `record` reads the stream that a
paper is about and anchors the paper in the log; `paper` is its blocks and the typesetting;
`verifying` answers whoever holds one up to the log. What stands in a paper, each office says in its
own `documents/`.
"""
