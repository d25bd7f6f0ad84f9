DROP TABLE phygital_code;
