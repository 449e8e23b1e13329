-- Ids are text with a prefix, times are timestamptz, secrets are wrapped or sealed bytea. Every table carries its tenant.

create table tenants (
  id         text primary key,
  name       text not null,
  sandbox    boolean not null default false,
  kms_key_id text,                       -- null: the deployment's key
  created_at timestamptz not null
);

create table api_keys (
  id                text primary key,
  tenant_id         text not null references tenants (id),
  name              text not null,
  role              text not null check (role in ('viewer', 'editor', 'admin', 'owner')),
  scopes            text[] not null,
  digest            bytea not null check (length(digest) = 64),
  pepper_id         text not null,
  allowed_addresses text[] not null default '{}',
  created_at        timestamptz not null,
  expires_at        timestamptz,
  revoked_at        timestamptz
);
create index api_keys_tenant on api_keys (tenant_id);

-- Keys of the deployment (tenant '-') and of tenants; private halves are wrapped seeds, never plain.
create table keys (
  id         text primary key,
  tenant_id  text not null,
  purpose    text not null,
  state      text not null check (state in ('next', 'active', 'retired', 'revoked', 'destroyed')),
  public     bytea,
  wrapped    bytea,                      -- null once destroyed, or held offline
  kms_key_id text not null,
  created_at timestamptz not null,
  not_before timestamptz not null,
  not_after  timestamptz
);
create unique index keys_one_active on keys (tenant_id, purpose)
  where state = 'active' and purpose not in ('recipient-seed', 'mac-key');

create table recipients (
  id             text primary key,
  tenant_id      text not null references tenants (id),
  api_key_id     text not null references api_keys (id),
  name           text not null,
  custody        text not null check (custody in ('client', 'server')),
  suite          text not null,
  state          text not null check (state in ('pending', 'active', 'retired', 'revoked')),
  kem_key_id     text not null unique,
  kem_public_key bytea not null,
  kem_hash       bytea not null,         -- SHA-384 of the public key: one key, one recipient
  mac_key_id     text not null unique,
  created_at     timestamptz not null,
  confirmed_at   timestamptz,
  expires_at     timestamptz             -- of a pending one
);
create unique index recipients_kem on recipients (kem_hash);
create unique index recipients_one_active on recipients (api_key_id) where state = 'active';
create index recipients_tenant on recipients (tenant_id);

create table vault_entries (
  tenant_id        text not null references tenants (id),
  id               uuid not null,
  name             text,
  credential_type  text not null,
  metadata         jsonb not null default '{}',
  version          integer not null,
  created_at       timestamptz not null,
  updated_at       timestamptz not null,
  ttl_days         integer,              -- what a rotation to new values renews; null: never expires
  expires_at       timestamptz,
  last_accessed_at timestamptz,
  deleted_at       timestamptz,
  primary key (tenant_id, id)
);

create table vault_versions (
  tenant_id        text not null,
  entry_id         uuid not null,
  version          integer not null,
  credential_type  text not null,
  schema           integer not null,
  custody          smallint not null check (custody in (0, 1)),
  vault_key_id     text not null,
  kem_ciphertext   bytea not null,
  wrapped_share    bytea,                -- null once shredded: the record cannot be opened again
  share_kms_key_id text not null,
  commitment       bytea not null,
  sealed           bytea not null,       -- nonce || ciphertext || tag
  created_at       timestamptz not null,
  primary key (tenant_id, entry_id, version),
  foreign key (tenant_id, entry_id) references vault_entries (tenant_id, id)
);

create table integrations (
  tenant_id          text not null references tenants (id),
  id                 text not null,
  name               text not null,
  system_type        text not null,
  credential_id      uuid not null,
  allowed_operations text[] not null,
  config             jsonb not null,
  policy_id          text,
  guards             jsonb,
  revision           integer not null,
  created_at         timestamptz not null,
  updated_at         timestamptz not null,
  primary key (tenant_id, id)
);
create index integrations_credential on integrations (tenant_id, credential_id);

create table idempotency_keys (
  tenant_id   text not null,
  api_key_id  text not null,
  key         text not null,
  fingerprint bytea not null,            -- SHA-384 over method, path and body
  state       text not null check (state in ('running', 'done')),
  message_id  text not null,
  deadline_at timestamptz not null,      -- a running one older than this was interrupted
  answer      json,                      -- not jsonb, which reorders: a replay has the bytes of the first answer
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  primary key (tenant_id, api_key_id, key)
);
create index idempotency_expiry on idempotency_keys (expires_at);

create table audit_rows (
  tenant_id  text not null,
  seq        bigint not null,
  id         text not null,
  at         timestamptz not null,
  action     text not null,
  outcome    text not null,
  actor_id   text,
  object_id  text,
  request_id text,
  message_id text,
  row_bytes  bytea not null,
  prev_hash  bytea not null check (length(prev_hash) = 32),
  hash       bytea not null check (length(hash) = 32),
  primary key (tenant_id, seq)
);
create index audit_rows_message on audit_rows (tenant_id, message_id) where message_id is not null;
create index audit_rows_request on audit_rows (tenant_id, request_id) where request_id is not null;

create table audit_heads (
  tenant_id  text primary key,
  seq        bigint not null,
  hash       bytea not null check (length(hash) = 32),
  mac        bytea not null check (length(mac) = 64),
  mac_key_id text not null
);

-- Intents without an outcome yet: written and deleted with the rows, so that a killed process leaves its own behind.
create table audit_open_intents (
  tenant_id   text not null,
  action      text not null,
  correlation text not null,             -- message id, or where there is none, request id
  seq         bigint not null,
  close_after timestamptz not null,
  primary key (tenant_id, action, correlation)
);
create index audit_open_intents_due on audit_open_intents (close_after);
