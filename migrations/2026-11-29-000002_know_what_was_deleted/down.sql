DROP FUNCTION not_deleted_before(integer, text, text);
DROP INDEX audit_events_deleted_idx;
