"""Golden documents: every type of event and message as it is stored, written once and never again.

A log is read for ever, so that what was written must load in every later version. Each line of a
`.jsonl` file here is one document, byte for byte as `NewEvent.body` and `NewEvent.message_body`
wrote it at the time; together the lines of a file are a small log, a stream's versions in order.

    python -m tests.golden      writes what is missing, and changes nothing that stands

`digests.txt` has each document's SHA-256: a document that was changed is found by it. Where a type
gets another version, its old document stays, and must load by its upcaster.
"""
