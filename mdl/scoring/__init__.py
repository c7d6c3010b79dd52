"""From result folders to scores, ledgers, submissions and tables. No torch."""
