DROP TABLE chatroom;
