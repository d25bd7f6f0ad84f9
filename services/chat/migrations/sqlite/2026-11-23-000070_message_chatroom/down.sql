-- SQLite keeps the reference that PostgreSQL gives up: it costs little here.
SELECT 1;
