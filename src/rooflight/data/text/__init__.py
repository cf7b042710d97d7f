"""Text as token ids: files and the bundled Bible, words or characters, a vocabulary, windows of a stream."""
