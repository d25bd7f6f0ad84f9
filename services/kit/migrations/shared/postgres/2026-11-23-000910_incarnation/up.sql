CREATE TABLE incarnation (
    name text PRIMARY KEY
);
COMMENT ON TABLE incarnation IS 'One row, which says in which life of the database its numbers of transactions were last set right; an open in another life does so again.';
COMMENT ON COLUMN incarnation.name IS 'The name of that life, as positions of the event log begin with it.';
