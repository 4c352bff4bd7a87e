// @generated automatically by Diesel CLI.

diesel::table! {
    /// Who changed what; a chain of events for each tenant, which are only ever added, and outlive the tenant
    audit_events (tenant_id, number) {
        /// The tenant that was acted for, which may be gone by now; 0 for the platform itself
        tenant_id -> Int4,
        /// The event's place in the chain: 1, 2, 3 without gaps
        number -> Int8,
        /// When it happened; later than the event before it
        at -> Timestamptz,
        /// The tenant's slug as it was then; null for the platform itself
        tenant -> Nullable<Text>,
        /// What vouches for the actor: a token of a tenant or of the platform, the command line, or the server itself
        actor_kind -> Text,
        /// The sub claim of the caller's token, or command line; null for the server itself
        actor -> Nullable<Text>,
        /// The kid of the key that verified the caller's token; null where there was none
        actor_key -> Nullable<Text>,
        /// The request that did it, as the log has it
        request_id -> Nullable<Text>,
        /// What was done: hook.set, plugin.upload
        action -> Text,
        /// To what: its name
        target -> Text,
        /// What was set before, as it was written; null where that was nothing. Never a secret
        before -> Nullable<Json>,
        /// What is set since, as it was written; null where that is nothing. Never a secret
        after -> Nullable<Json>,
        /// The hash of the event before it in the chain; 32 zero bytes for the first
        previous -> Bytea,
        /// SHA-256 over the hash of the event before it, then its own columns as netstrings
        hash -> Bytea,
    }
}

diesel::table! {
    /// Where each chain of the audit trail ends, so that a missing end is found; its rows let one writer of a chain in at a time
    audit_heads (tenant_id) {
        /// The chain
        tenant_id -> Int4,
        /// The number of its last event
        number -> Int8,
        /// The time of its last event
        at -> Timestamptz,
        /// The hash of its last event
        hash -> Bytea,
    }
}

diesel::table! {
    /// Events of the audit trail from before a tenant was imported, as they were where they happened; they are only ever added, and outlive the tenant
    audit_imported (tenant_id, part, number) {
        /// The tenant that they were imported into, which may be gone by now
        tenant_id -> Int4,
        /// Counts the chains that were imported into the tenant, from 1; the events of its own chain that tell of imports say how far each goes
        part -> Int4,
        /// The event's place in its chain
        number -> Int8,
        /// When it happened
        at -> Timestamptz,
        /// The slug of the tenant that it was imported into
        tenant -> Text,
        /// The number that the tenant had where it happened
        source_id -> Int4,
        /// The slug that the tenant had then and there
        source -> Text,
        /// As of events that happened here
        actor_kind -> Text,
        /// As of events that happened here
        actor -> Nullable<Text>,
        /// As of events that happened here
        actor_key -> Nullable<Text>,
        /// As of events that happened here
        request_id -> Nullable<Text>,
        /// As of events that happened here
        action -> Text,
        /// As of events that happened here
        target -> Text,
        /// As of events that happened here: the very text, of which the hash is
        before -> Nullable<Json>,
        /// As of events that happened here: the very text, of which the hash is
        after -> Nullable<Json>,
        /// The hash of the event before it in its chain
        previous -> Bytea,
        /// The hash that it had where it happened
        hash -> Bytea,
        /// Settles ties of time in lists, where one event was imported twice
        place -> Bytea,
    }
}

diesel::table! {
    /// Keys that seal the audit trail; the last one seals
    audit_keys (number) {
        /// Counts the keys, from 1
        number -> Int4,
        /// When the key was made
        created_at -> Timestamptz,
        /// The key, encrypted with AES-256-GCM under the master key
        encrypted_key -> Bytea,
    }
}

diesel::table! {
    /// Seals of events of the audit trail, which are only ever added
    audit_seals (tenant_id, number, key) {
        /// The event's chain
        tenant_id -> Int4,
        /// The event's place in its chain
        number -> Int8,
        /// The key that sealed it
        key -> Int4,
        /// Whether events before it may be without a seal: it was made for the chain as it was then
        baseline -> Bool,
        /// HMAC-SHA256 over chain, number, baseline and the hash of the event
        seal -> Bytea,
    }
}

diesel::table! {
    /// One row: how often keys, tenants or hooks were changed
    change_counter (id) {
        /// Always true
        id -> Bool,
        /// Grows with each changed row, in the transaction that changed it
        changes -> Int8,
    }
}

diesel::table! {
    /// All that hooks were ever set to; rows are only ever added, and outlive the hook
    hook_bindings (tenant_id, hook, number) {
        /// The tenant whose saves and deletes the hook judges
        tenant_id -> Int4,
        /// The hook's name
        hook -> Text,
        /// Counts the changes of a hook, from 1
        number -> Int4,
        /// The plugin's name
        plugin -> Text,
        /// The plugin, which may be gone by now
        plugin_id -> Int4,
        /// The revision of the plugin that runs
        sha256 -> Bytea,
        /// Hooks run from the lowest to the highest, ties by name
        position -> Int4,
        /// What it judges: save, delete, or both
        operations -> Array<Text>,
        /// enforce, or monitor: run, but change and reject nothing
        mode -> Text,
        /// What a trap, a missed deadline or a broken limit means: reject, or allow
        on_failure -> Text,
        /// Wall-clock limit of one call, in milliseconds
        timeout_ms -> Int4,
        /// Most linear memory of one call
        memory_bytes -> Int8,
        /// Fuel of one call
        fuel -> Int8,
        /// The JSON that the hook reads as its configuration
        settings -> Jsonb,
        /// Whether it runs at all
        enabled -> Bool,
        /// A revision of the same plugin that runs beside it on the same input, and decides nothing
        shadow_sha256 -> Nullable<Bytea>,
        /// What the shadow reads as its configuration
        shadow_settings -> Nullable<Jsonb>,
        /// Who set it: the sub claim of the caller's token, or command line
        set_by -> Nullable<Text>,
        /// When it was set
        set_at -> Timestamptz,
    }
}

diesel::table! {
    /// Signatures that hooks refused, kept so that the decision can be replayed
    hook_inputs (tenant_id, sha256, encoding) {
        /// The owner
        tenant_id -> Int4,
        /// SHA-256 of the bytes
        sha256 -> Bytea,
        /// As of stored versions: b, the text was base64 of the bytes; t, it is the bytes
        encoding -> CChar,
        /// When it was last refused
        at -> Timestamptz,
        /// The bytes
        signature -> Bytea,
    }
}

diesel::table! {
    /// What hooks decided about a save or delete, and on what input
    hook_judgements (tenant_id, at, id) {
        /// The owner
        tenant_id -> Int4,
        /// When it was recorded: in the transaction that stored what was accepted
        at -> Timestamptz,
        /// Settles ties of time
        id -> Int8,
        /// The version that was judged: for a save, the one that it would become
        version -> Int4,
        /// save or delete
        operation -> Text,
        /// accepted, rejected, failed (a hook did, and its settings say reject), or not stored (accepted, but the thread had moved on or had this version already)
        outcome -> Text,
        /// The document
        document -> Text,
        /// The thread
        thread -> Text,
        /// SHA-256 of the input as it was written: JSON with its members in the order of the code
        input_sha256 -> Bytea,
        /// What the hooks were told beside the signature's bytes, whose digest it holds
        input -> Jsonb,
        /// What each hook decided, in the order in which they ran
        decisions -> Jsonb,
    }
}

diesel::table! {
    /// What judges each save and delete of a tenant
    hooks (tenant_id, name) {
        /// The tenant whose saves and deletes the hook judges
        tenant_id -> Int4,
        /// The hook's name, unique within the tenant
        name -> Text,
        /// The binding's plugin, repeated so that it can't be deleted meanwhile
        plugin_id -> Int4,
        /// The binding's revision, repeated for the same reason
        sha256 -> Bytea,
        /// When the hook was first set
        created_at -> Timestamptz,
        /// Which of its bindings is in force
        binding -> Int4,
        /// The binding's shadow, repeated for the same reason
        shadow_sha256 -> Nullable<Bytea>,
        /// Since when the hook is set aside because it kept failing; null while it is not
        quarantined_at -> Nullable<Timestamptz>,
        /// How it kept failing
        quarantine_reason -> Nullable<Text>,
    }
}

diesel::table! {
    /// Identity providers whose tokens authenticate the callers of a tenant
    issuers (tenant_id, name) {
        /// The tenant whose callers it vouches for
        tenant_id -> Int4,
        /// Its name, for people
        name -> Text,
        /// When it was added
        created_at -> Timestamptz,
        /// The iss of its tokens, character by character (RFC 7519 section 4.1.1)
        issuer -> Text,
        /// Where its keys are; null if they are found by OpenID Connect Discovery, or were given
        jwks_url -> Nullable<Text>,
        /// Its keys, if they were given: a JSON Web Key Set (RFC 7517)
        jwks -> Nullable<Text>,
        /// What its tokens must claim, and which scopes their claims stand for
        rules -> Jsonb,
        /// Servers fetch its keys again that they fetched before they knew of this time; null for none
        refreshed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Keys that verify tokens
    keys (kid) {
        /// The tenant whose callers the key vouches for; null for the platform, whose operators act for any tenant
        tenant_id -> Nullable<Int4>,
        /// The kid of a token's header (RFC 7515 section 4.1.4); unique on the server, so that it decides the owner
        kid -> Text,
        /// The one algorithm that the key may be used with (RFC 8725 section 3.1)
        algorithm -> Text,
        /// Shared secret, or private key (PKCS #8) that the server signs with, encrypted with AES-256-GCM under the master key
        encrypted_secret -> Nullable<Bytea>,
        /// Public key as a PEM SubjectPublicKeyInfo
        public_key -> Nullable<Text>,
        /// When the key was added
        created_at -> Timestamptz,
        /// Since when the key verifies nothing; null while it is active
        revoked_at -> Nullable<Timestamptz>,
        /// From when on the key verifies; null for at once
        not_before -> Nullable<Timestamptz>,
        /// Until when the key verifies; null for as long as it is not revoked
        expires_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Tenants that an import made and whose logs are arriving: nothing of theirs is taken from the queue meanwhile, and their entries are in no tree yet
    log_arrivals (tenant_id) {
        /// The tenant
        tenant_id -> Int4,
        /// SHA-256 of the first line of the file that the log comes from; null until the first entry comes
        file -> Nullable<Bytea>,
        /// Random bytes of the import that may write entries now; others must give up
        run -> Nullable<Bytea>,
    }
}

diesel::table! {
    /// Checkpoints that witnesses are asked to sign: the newest ones, and those with the most signatures
    log_checkpoints (tenant_id, epoch, size) {
        /// Whose log it is
        tenant_id -> Int4,
        /// The tree
        epoch -> Int2,
        /// How many entries the tree had
        size -> Int8,
        /// From when on witnesses are asked
        at -> Timestamptz,
        /// The checkpoint, signed by the log
        checkpoint -> Text,
    }
}

diesel::table! {
    /// Signatures of witnesses
    log_cosignatures (tenant_id, epoch, size, witness) {
        /// Whose log it is
        tenant_id -> Int4,
        /// The tree
        epoch -> Int2,
        /// How many entries the checkpoint is about
        size -> Int8,
        /// The witness
        witness -> Text,
        /// When the server got it; when the witness signed is in the line
        at -> Timestamptz,
        /// The line for the checkpoint (C2SP tlog-cosignature)
        line -> Text,
    }
}

diesel::table! {
    /// The entries of all logs. They outlive the threads that they are about
    log_entries (tenant_id, number) {
        /// Whose log it is: a tenant's, or 0 for the platform's
        tenant_id -> Int4,
        /// As in the queue
        version -> Nullable<Int4>,
        /// Counts the entries of a tenant, from 1
        number -> Int8,
        /// As in the queue
        signature_id -> Nullable<Int8>,
        /// As in the queue
        at -> Timestamptz,
        /// As in the queue
        kind -> CChar,
        /// As in the queue
        seal -> Bytea,
        /// The hash of the entry as a leaf (RFC 6962 section 2.1)
        leaf -> Bytea,
        /// As in the queue; null once it is erased
        salt -> Nullable<Bytea>,
        /// As in the queue; null once it is erased
        event -> Nullable<Text>,
        /// Of a deletion, the numbers of the entries about its thread
        refs -> Nullable<Array<Int8>>,
    }
}

diesel::table! {
    /// The trees of each log. A tenant has one; another one begins after an import, or after the database went back in time
    log_epochs (tenant_id, epoch) {
        /// Whose log it is: a tenant's, or 0 for the platform's
        tenant_id -> Int4,
        /// Counts the trees of a log, from 1
        epoch -> Int2,
        /// The name of the tree in its checkpoints, which tells nothing about the tenant
        origin -> Text,
        /// The number of its first entry
        first -> Int8,
        /// How many entries it has
        size -> Int8,
        /// The roots of the perfect subtrees that it consists of, the largest first: what is needed to append to it
        edge -> Bytea,
        /// The root of the tree
        root -> Bytea,
        /// The last signed checkpoint (C2SP tlog-checkpoint)
        checkpoint -> Nullable<Text>,
        /// When it last grew
        at -> Timestamptz,
        /// When another one took its place
        closed_at -> Nullable<Timestamptz>,
        /// When it was found that the database went back in time: nothing is added or signed from then on
        frozen_at -> Nullable<Timestamptz>,
        /// What was found, for people
        frozen_why -> Nullable<Text>,
        /// How many entries it was seen to have before it was frozen: the numbers of lost ones are not given again
        seen -> Nullable<Int8>,
        /// How many entries it had when its head was last added to the platform's log
        anchored -> Int8,
        /// The day on which the head of the tenant's audit trail was last added to it
        audited_on -> Nullable<Date>,
        /// The random part of its name, by which anybody finds it if its log is public
        public_id -> Text,
        /// The day (UTC) up to which digests of the decisions of hooks were added to it
        decided_on -> Nullable<Date>,
    }
}

diesel::table! {
    /// Public keys of other servers, which signed the checkpoints of imported trees
    log_imported_keys (tenant_id, epoch, public_key) {
        /// Whose log it is
        tenant_id -> Int4,
        /// The imported tree
        epoch -> Int2,
        /// When the key was made
        created_at -> Timestamptz,
        /// Until when it signed the tree
        not_after -> Timestamptz,
        /// The public key (RFC 8032)
        public_key -> Bytea,
    }
}

diesel::table! {
    /// Keys that sign checkpoints (Ed25519). All that are in force sign
    log_keys (id) {
        /// Counts the keys, from 1
        id -> Int4,
        /// When the key was made
        created_at -> Timestamptz,
        /// Until when it signs; null for the newest
        not_after -> Nullable<Timestamptz>,
        /// The public key (RFC 8032)
        public_key -> Bytea,
        /// The secret key, encrypted with AES-256-GCM under the master key
        encrypted_secret -> Bytea,
    }
}

diesel::table! {
    /// Inner nodes of the trees: the root of each full subtree of 256, 65536, and so on, leaves
    log_nodes (tenant_id, epoch, level, number) {
        /// Whose log it is
        tenant_id -> Int4,
        /// The epoch
        epoch -> Int2,
        /// Its height: 1 for 256 leaves, 2 for 65536, and so on
        level -> Int2,
        /// Counts the nodes of a level, from 0
        number -> Int8,
        /// Its hash
        hash -> Bytea,
    }
}

diesel::table! {
    /// What happened and is not in a log yet. Whoever adds a row has written another row before in its transaction, so that it has a transaction id before it draws an id here
    log_queue (id) {
        /// Orders the rows: what was committed before another transaction began has a lower id than its rows
        id -> Int8,
        /// The thread, if it is about one
        signature_id -> Nullable<Int8>,
        /// When it happened
        at -> Timestamptz,
        /// Whose log it goes into: a tenant's, or 0 for the platform's
        tenant_id -> Int4,
        /// The version, if it is about one
        version -> Nullable<Int4>,
        /// What happened: v, a version was saved; b, it was stored before there was a log; i, it was imported; d, a thread was deleted; j, a verdict was recorded; r, a save or delete was refused; c, something else changed; a, the heads of other records of the day; n, the log goes on after another one; h, the head of a tenant's log
        kind -> CChar,
        /// SHA-256 over the SHA-256 of its object and over that of its metadata, the lesser first
        seal -> Bytea,
        /// The salt in its metadata; of versions it is with the version
        salt -> Nullable<Bytea>,
        /// Its object, as JSON; of versions the signature is the object
        event -> Nullable<Text>,
    }
}

diesel::table! {
    /// What is set for a log. A log without a row has the defaults
    log_settings (tenant_id) {
        /// Whose log it is: a tenant's, or 0 for the platform's
        tenant_id -> Int4,
        /// Whether anybody may read its checkpoints and tiles without a token
        public -> Bool,
        /// Whether saves and deletes that were refused are added to it
        refusals -> Bool,
        /// When a refusal was last added to it
        refused_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Witnesses, which sign checkpoints of a log
    log_witnesses (tenant_id, name) {
        /// Whose log it is: a tenant's, or 0 for the platform's
        tenant_id -> Int4,
        /// The name of the witness's key
        name -> Text,
        /// When it was added
        created_at -> Timestamptz,
        /// Its submission prefix (C2SP tlog-witness): the beginning of its addresses
        url -> Text,
        /// Its public key (C2SP signed-note: NAME+ID+KEY)
        key -> Text,
        /// Its state, as `witness list` shows it
        state -> Text,
        /// Since when it is in that state
        since -> Timestamptz,
        /// Why it did not sign, for people
        why -> Nullable<Text>,
        /// The number of attempts that failed since it last signed
        failures -> Int4,
        /// The tree of the checkpoint that it signed last
        epoch -> Nullable<Int2>,
        /// How many entries that checkpoint is about
        size -> Nullable<Int8>,
        /// When it signed that checkpoint
        signed_at -> Nullable<Timestamptz>,
        /// Since when there is a checkpoint that it has not signed; null if there is none
        behind_since -> Nullable<Timestamptz>,
        /// When it may be asked next
        next_at -> Timestamptz,
        /// The server that asks it now
        lease_by -> Nullable<Text>,
        /// Until when no other server asks it
        lease_until -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// The master key that encrypts; no row until it was rotated
    master_key (id) {
        /// Always true: there is one row
        id -> Bool,
        /// The name of the key, which tells nothing of it
        current -> Bytea,
    }
}

diesel::table! {
    /// Immutable revisions of plugins, known by the digest of their bytes
    plugin_revisions (plugin_id, sha256) {
        /// The plugin
        plugin_id -> Int4,
        /// SHA-256 of the component
        sha256 -> Bytea,
        /// The component as it was uploaded
        component -> Bytea,
        /// The contract's interfaces that the component exports
        exports -> Array<Text>,
        /// The contract's interfaces that the component imports
        imports -> Array<Text>,
        /// What the component said of itself at upload
        description -> Text,
        /// The last time these bytes were uploaded under the plugin's name; the greatest marks the newest revision
        uploaded_at -> Timestamptz,
        /// Who uploaded it last: the sub claim of the caller's token, or command line
        uploaded_by -> Nullable<Text>,
        /// Test cases that came with the revision, and that it passed
        cases -> Jsonb,
        /// The artefact in a registry that it came from, with its digest, as the uploader stated it; null for a file
        origin -> Nullable<Text>,
        /// The publisher's signature, as a .minisig file; null if it came without one
        signature -> Nullable<Text>,
        /// The version that the signature states; null without one
        signed_version -> Nullable<Text>,
        /// The public key with which the signature was verified at the upload; null if the server trusted no keys then
        publisher_key -> Nullable<Text>,
    }
}

diesel::table! {
    /// Names under which operators upload WebAssembly components
    plugins (id) {
        /// What revisions and hooks refer to
        id -> Int4,
        /// The tenant that alone may bind the plugin; null for the platform's, which any tenant may
        tenant_id -> Nullable<Int4>,
        /// The plugin's name, unique within its owner
        name -> Text,
        /// When the first revision was uploaded
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// What tenants accept as signatures, and whether it is recorded how they were judged; no row while nothing is set
    policies (tenant_id) {
        /// The tenant
        tenant_id -> Int4,
        /// What is saved: any text, only a CMS or XML signature that can be read, either of them (readable), or either of them where all signers are intact, or have passed
        accept -> Text,
        /// Whether a verdict is recorded with each version that is saved
        record_verdicts -> Bool,
        /// What is done with a signature whose content is elsewhere: accept it by what is there, refuse it, or ask for its content
        detached -> Text,
        /// How much must be known of whether certificates were revoked: only what is embedded, or something must tell of each
        revocation -> Text,
        /// Whether threads can be found by who signed them
        index_signers -> Bool,
        /// Origins whose pages may use the API with tokens of the tenant, beside those of the server's settings
        cors_origins -> Array<Text>,
    }
}

diesel::table! {
    /// Index of the tags that threads have now: from a tag to its threads, newest first
    signature_tags (tenant_id, signature_id, tag) {
        /// The owner
        tenant_id -> Int4,
        /// The thread
        signature_id -> Int8,
        /// When version 1 was saved, repeated so that the index yields the order of lists
        created_at -> Timestamptz,
        /// One tag of the thread's current version
        tag -> Text,
    }
}

diesel::table! {
    /// Index of who signed a version of a thread, and of the last verdict on its current version
    signature_terms (tenant_id, signature_id, term) {
        /// The owner
        tenant_id -> Int4,
        /// The thread
        signature_id -> Int8,
        /// When version 1 was saved, repeated so that the index yields the order of lists
        created_at -> Timestamptz,
        /// iin:, bin:, sha256: or serial: and a value of a signer's certificate; or verdict: and a word
        term -> Text,
    }
}

diesel::table! {
    /// What was found when versions were verified, append-only: what could be known then stays known
    signature_verdicts (tenant_id, signature_id, version, id) {
        /// The owner
        tenant_id -> Int4,
        /// The version
        version -> Int4,
        /// The thread
        signature_id -> Int8,
        /// Grows with time
        id -> Int8,
        /// When it was verified
        at -> Timestamptz,
        /// How much it counts against the tenant's quota: the size of its text
        bytes -> Int4,
        /// Who signed, and the verdict on each, as the API shows it
        verdict -> Jsonb,
    }
}

diesel::table! {
    /// Versions of threads, append-only: version N was signed over version N - 1
    signature_versions (tenant_id, signature_id, version) {
        /// The owner
        tenant_id -> Int4,
        /// Place in the thread's history: 1, 2, 3 without gaps
        version -> Int4,
        /// The thread
        signature_id -> Int8,
        /// When the version was saved
        created_at -> Timestamptz,
        /// How the text that the client sent follows from the signature's bytes: b, it is their padded base64 (RFC 4648 section 4); t, it is the bytes
        encoding -> CChar,
        /// SHA-256 of the signature's bytes
        sha256 -> Bytea,
        /// The client's label for this version
        stage -> Nullable<Text>,
        /// Who created this version, the client's own word
        created_by -> Nullable<Text>,
        /// The client's comment on this version
        comment -> Nullable<Text>,
        /// Tags that the version was saved with, hooks' included, in the order given; those of the current version are the thread's
        tags -> Array<Text>,
        /// The signature, stored once: decoded where its base64 round-trips exactly, as it came otherwise
        signature -> Bytea,
        /// Random bytes in the seal of the version's entry in the log; null until the version is logged
        salt -> Nullable<Bytea>,
        /// Whether its signers are indexed, if there are any
        signers_indexed -> Bool,
    }
}

diesel::table! {
    /// Threads: one row for each document and thread of a tenant
    signatures (tenant_id, id) {
        /// The owner
        tenant_id -> Int4,
        /// The current version, and how many there are
        version -> Int4,
        /// Stable id of the thread
        id -> Int8,
        /// When version 1 was saved
        created_at -> Timestamptz,
        /// When the current version was saved
        updated_at -> Timestamptz,
        /// The document's code, the tenant's own word
        document -> Text,
        /// The story in which the document is signed, also called chain
        thread -> Text,
        /// Stage of the current version, repeated here so that lists filter by it in order
        stage -> Nullable<Text>,
    }
}

diesel::table! {
    /// What a tenant has stored: the sum of its rows, each of which may be below zero
    tenant_usage (tenant_id, shard) {
        /// The owner
        tenant_id -> Int4,
        /// Bytes of signatures, as they are stored, and of verdicts on them
        bytes -> Int8,
        /// Threads
        threads -> Int8,
        /// Versions of threads
        versions -> Int8,
        /// Which connections add here
        shard -> Int2,
    }
}

diesel::table! {
    /// Organisations that share the server without seeing one another
    tenants (id) {
        /// What tenant-owned rows carry; never shown to clients
        id -> Int4,
        /// The tenant's name in commands, tokens and URLs: a DNS label, never changed
        slug -> Text,
        /// The tenant's name for people
        name -> Text,
        /// Since when every request of the tenant is refused; null while it is active
        suspended_at -> Nullable<Timestamptz>,
        /// When the tenant was created
        created_at -> Timestamptz,
        /// When all that is the tenant's will be removed; null unless its deletion is scheduled
        delete_after -> Nullable<Timestamptz>,
        /// When the removal began, which nothing takes back; null before that
        removing_since -> Nullable<Timestamptz>,
        /// Most bytes of signatures, as they are stored, and of verdicts on them. Of all quotas, null means the server's default, and 0 no limit
        max_bytes -> Nullable<Int8>,
        /// Most threads
        max_threads -> Nullable<Int8>,
        /// Largest signature, in bytes of the text that the client sends
        max_signature_bytes -> Nullable<Int8>,
        /// Requests a second, on each server
        requests_per_second -> Nullable<Int8>,
        /// Requests that may come at once after a quiet time, on each server; 0 for as many as a second allows
        request_burst -> Nullable<Int8>,
        /// Requests under way at once, on each server
        max_concurrent_requests -> Nullable<Int8>,
        /// Milliseconds that hooks may run each second, on each server
        hook_ms_per_second -> Nullable<Int8>,
        /// What an import has not brought yet, in words between spaces: import:SLUG while it goes on, and the names of hooks; null where nothing is missing
        incomplete -> Nullable<Text>,
    }
}

diesel::table! {
    /// Certificates that tenants trust: signatures whose chains end with one are judged further
    trust_anchors (tenant_id, sha256) {
        /// The tenant
        tenant_id -> Int4,
        /// SHA-256 of the certificate
        sha256 -> Bytea,
        /// Since when it is trusted
        created_at -> Timestamptz,
        /// The certificate in DER (RFC 5280)
        certificate -> Bytea,
    }
}

diesel::table! {
    /// The last calls of each webhook, without their bodies
    webhook_attempts (tenant_id, webhook_id, id) {
        /// The owner
        tenant_id -> Int4,
        /// How many milliseconds it took
        ms -> Int4,
        /// The webhook
        webhook_id -> Int8,
        /// Grows with time
        id -> Int8,
        /// The number of the event; null for a test
        number -> Nullable<Int8>,
        /// When it ended
        at -> Timestamptz,
        /// The status of the answer; null if there was none
        status -> Nullable<Int2>,
        /// delivered, gone, failed by its status, or the class of the error
        outcome -> Text,
    }
}

diesel::table! {
    /// Events that a webhook did not take yet
    webhook_pending (tenant_id, webhook_id, number) {
        /// The owner
        tenant_id -> Int4,
        /// How often it was tried
        attempts -> Int4,
        /// The webhook
        webhook_id -> Int8,
        /// The number of the event
        number -> Int8,
        /// The thread that it is about; null for all other events, which come in order, too
        signature_id -> Nullable<Int8>,
        /// When it is tried again, unless an earlier event about the thread is pending, too
        next_at -> Timestamptz,
    }
}

diesel::table! {
    /// URLs that are called with what happens to a tenant
    webhooks (tenant_id, id) {
        /// The owner
        tenant_id -> Int4,
        /// Its id
        id -> Int8,
        /// When it was made
        created_at -> Timestamptz,
        /// What is called
        url -> Text,
        /// The types of events that it is called with; all if there are none. A type that ends with a dot stands for all that begin so
        types -> Array<Text>,
        /// The number of the last event that was delivered, or is pending
        cursor -> Int8,
        /// The secret that signs calls, encrypted with AES-256-GCM under the master key
        encrypted_secret -> Bytea,
        /// The secret before it, which signs beside it for a while
        encrypted_old_secret -> Nullable<Bytea>,
        /// Until when the old secret signs
        old_secret_until -> Nullable<Timestamptz>,
        /// Since when it is not called; null while it is
        disabled_at -> Nullable<Timestamptz>,
        /// Why it is not called, for people
        disabled_why -> Nullable<Text>,
        /// Since when every call has failed; null if the last one did not
        failing_since -> Nullable<Timestamptz>,
        /// The server that calls it now
        lease_by -> Nullable<Text>,
        /// Until when that server may, unless it says that it still does
        lease_until -> Nullable<Timestamptz>,
    }
}

diesel::joinable!(hook_bindings -> tenants (tenant_id));
diesel::joinable!(hook_inputs -> tenants (tenant_id));
diesel::joinable!(hook_judgements -> tenants (tenant_id));
diesel::joinable!(hooks -> tenants (tenant_id));
diesel::joinable!(issuers -> tenants (tenant_id));
diesel::joinable!(keys -> tenants (tenant_id));
diesel::joinable!(log_arrivals -> tenants (tenant_id));
diesel::joinable!(log_imported_keys -> tenants (tenant_id));
diesel::joinable!(plugin_revisions -> plugins (plugin_id));
diesel::joinable!(plugins -> tenants (tenant_id));
diesel::joinable!(policies -> tenants (tenant_id));
diesel::joinable!(signatures -> tenants (tenant_id));
diesel::joinable!(tenant_usage -> tenants (tenant_id));
diesel::joinable!(trust_anchors -> tenants (tenant_id));
diesel::joinable!(webhooks -> tenants (tenant_id));

diesel::allow_tables_to_appear_in_same_query!(
    audit_events,
    audit_heads,
    audit_imported,
    audit_keys,
    audit_seals,
    change_counter,
    hook_bindings,
    hook_inputs,
    hook_judgements,
    hooks,
    issuers,
    keys,
    log_arrivals,
    log_checkpoints,
    log_cosignatures,
    log_entries,
    log_epochs,
    log_imported_keys,
    log_keys,
    log_nodes,
    log_queue,
    log_settings,
    log_witnesses,
    master_key,
    plugin_revisions,
    plugins,
    policies,
    signature_tags,
    signature_terms,
    signature_verdicts,
    signature_versions,
    signatures,
    tenant_usage,
    tenants,
    trust_anchors,
    webhook_attempts,
    webhook_pending,
    webhooks,
);
