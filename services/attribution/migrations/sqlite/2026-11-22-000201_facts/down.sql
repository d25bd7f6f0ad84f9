DROP TABLE attribution_policy;
DROP TABLE refund;
DROP TABLE order_status;
DROP TABLE "order";
DROP TABLE checkout;
DROP TABLE message;
DROP TABLE chatroom;
DROP TABLE brand;
