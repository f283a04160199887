"""`codeact compare`: a grid of trainings on one score cache, and what differs between them and how surely."""
