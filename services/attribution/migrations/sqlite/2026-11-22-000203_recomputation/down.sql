DROP TABLE recomputation;
