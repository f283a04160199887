"""What another language model says of the records: ratings and tags, from an endpoint or a local model."""
