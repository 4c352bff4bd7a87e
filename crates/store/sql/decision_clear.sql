-- hook_judgements
DELETE FROM hook_judgements
WHERE ctid = ANY (ARRAY(SELECT ctid FROM hook_judgements WHERE tenant_id = $1 AND at < $2 LIMIT $3));

-- hook_inputs
DELETE FROM hook_inputs
WHERE ctid = ANY (ARRAY(SELECT ctid FROM hook_inputs WHERE tenant_id = $1 AND at < $2 LIMIT $3));
