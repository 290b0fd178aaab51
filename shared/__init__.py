"""What both kinds of office share: the published language, the machinery, the adapters."""
