"""Every durable fact: schema, migrations, transactions, outbox; nothing else speaks SQL."""
