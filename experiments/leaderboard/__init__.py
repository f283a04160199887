"""A leaderboard of selections: fixed pools, fixed budgets of tokens, entrants as lists of ids, results that can be sent and checked."""
