"""The machinery: decide, append, send, receive, project. It knows no noun of any office."""
