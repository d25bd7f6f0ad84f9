DROP TABLE member_block;
