-- How far the sweeper has read each chain. Intents up to there have their outcome, or stand in audit_open_intents, which
-- from now on only the sweeper writes; its close_after is when an intent is looked at next.
create table audit_sweeps (
  tenant_id text primary key,
  seq       bigint not null,
  read_at   timestamptz not null
);

-- Intents that are open now stand in the list already.
insert into audit_sweeps (tenant_id, seq, read_at) select tenant_id, seq, now() from audit_heads;

-- What a flush hands over. Types of their own: a column more in a table must not change what processes send.
create type audit_new_row as (
  tenant_id  text,
  seq        bigint,
  id         text,
  at         timestamptz,
  action     text,
  outcome    text,
  actor_id   text,
  object_id  text,
  request_id text,
  message_id text,
  row_bytes  bytea,
  prev_hash  bytea,
  hash       bytea
);
create type audit_moved_head as (
  tenant_id text,
  old_seq   bigint,
  old_mac   bytea,
  seq       bigint,
  hash      bytea,
  mac       bytea
);
