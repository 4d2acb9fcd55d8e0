"""One file, one deployed function: an event in, `shared` does the work, a response out."""
