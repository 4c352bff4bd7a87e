-- The audit trail has an event for each deleted thread, and one for each save under such a name. There is no event of
-- this kind yet, so the index is created at once.
CREATE INDEX audit_events_deleted_idx ON audit_events (tenant_id, target) WHERE action = 'signature.delete';

-- Called for each thread that a save creates. A volatile function sees everything committed so far. If the save waited
-- for a delete of the same name, the function sees that delete too, but the snapshot of the statement does not.
CREATE FUNCTION not_deleted_before(tenant integer, document text, thread text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF EXISTS (SELECT FROM public.audit_events e
               WHERE e.tenant_id = $1 AND e.action = 'signature.delete'
                 AND e.target = replace(replace($2, '%', '%25'), '/', '%2F') || '/' || replace(replace($3, '%', '%25'), '/', '%2F')) THEN
        RAISE EXCEPTION 'a thread of this name was deleted before'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'signatures_not_deleted_before';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION not_deleted_before(integer, text, text) IS 'True where no thread of this name was deleted; otherwise an error, so that the save is made again by who tells the audit trail of it';
