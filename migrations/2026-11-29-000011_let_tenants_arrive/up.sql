-- An imported tenant must not go live before it has the hooks that may reject for it.
ALTER TABLE tenants ADD COLUMN incomplete text;
COMMENT ON COLUMN tenants.incomplete IS 'What an import has not brought yet, in words between spaces: import:SLUG while it goes on, and the names of hooks; null where nothing is missing';

-- Threads keep their ids when their tenant moves, so new threads must get larger ids. The server may write signatures,
-- but must not set the sequence freely, since all tenants share it. This function moves it only forward, and never so
-- far that it could run out.
CREATE FUNCTION reserve_signature_ids(last bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF last NOT BETWEEN 1 AND 281474976710656 THEN
        RAISE EXCEPTION 'a thread can''t have the number %', last;
    END IF;
    -- Beyond what others take between the two calls.
    IF nextval('public.signatures_id_seq') <= last THEN
        PERFORM setval('public.signatures_id_seq', last + 100000);
    END IF;
END
$$;
COMMENT ON FUNCTION reserve_signature_ids(bigint) IS 'Makes sure that new threads get numbers after this one';
REVOKE EXECUTE ON FUNCTION reserve_signature_ids(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reserve_signature_ids(bigint) TO sigpersist_server;
