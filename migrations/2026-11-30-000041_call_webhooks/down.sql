DROP TABLE webhook_attempts;
DROP TABLE webhook_pending;
DROP TABLE webhooks;
