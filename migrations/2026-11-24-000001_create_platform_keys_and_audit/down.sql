DROP TABLE audit_events;
DROP TABLE platform_keys;
DROP FUNCTION notify_platform_change();
