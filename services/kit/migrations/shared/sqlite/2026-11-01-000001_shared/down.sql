DROP TABLE revocation;
DROP TABLE request;
DROP TABLE event_cursor;
DROP TABLE incarnation;
DROP TABLE event_log;
