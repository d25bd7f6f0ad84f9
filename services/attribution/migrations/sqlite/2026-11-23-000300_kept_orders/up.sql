-- As on PostgreSQL orders are append-only; foreign keys cost nothing here, and stay.

CREATE TRIGGER order_never_deleted BEFORE DELETE ON "order"
BEGIN SELECT raise(ABORT, 'orders are never renamed or removed'); END;
