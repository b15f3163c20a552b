"""How the server shows a session that it is the server."""

KEY_HEADER = "X-Wpunet-Key"
