"""The adapters: settings, Redis streams, worker, web shell, embedded servers."""
