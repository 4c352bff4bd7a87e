SELECT id, version, created_at, updated_at
FROM
  signature_save_2(
    owner => $1,
    draft_document => $2,
    draft_thread => $3,
    parent => $4,
    or_first => $5,
    draft_stage => $6,
    draft_created_by => $7,
    draft_comment => $8,
    draft_tags => $9,
    draft_encoding => $10,
    draft_sha256 => $11,
    draft_signature => $12,
    verdict => $13,
    verdict_bytes => $14,
    judged_version => $15,
    judged_input => $16,
    judged_sha256 => $17,
    decisions => $18,
    may_recreate => $19,
    draft_salt => $20,
    draft_seal => $21,
    second_seal => $22,
    verdict_salt => $23,
    verdict_seal => $24,
    verdict_event => $25
  );
