DROP TABLE member_customer;
DROP TABLE member;
DROP TABLE person;
DROP TABLE link;
DROP TABLE account_email;
DROP TABLE account;
