DROP TABLE chatroom_change;
