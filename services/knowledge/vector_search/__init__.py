"""Search among the chunks' vectors where this process holds none of them: PostgreSQL searches."""
