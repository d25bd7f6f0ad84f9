DROP TRIGGER order_never_deleted;
