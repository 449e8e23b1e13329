-- Who is logged in at a broker that asks us over HTTP: most brokers name a client only by what it said when it connected.
-- A row is found by a digest over hook, tenant, username and client id, so that a token sent as a username is not in here.
create table broker_sessions (
  key        bytea primary key check (length(key) = 32),
  hook       text not null,
  tenant_id  text not null,
  user_key   bytea not null check (length(user_key) = 32),   -- of the username as sent
  owner_key  bytea not null check (length(owner_key) = 32),  -- of whom the credentials showed: what one may have is bounded
  session    text not null,              -- JSON: identity, rules, provider, grant; no secret
  expires_at timestamptz,
  used_at    timestamptz not null        -- to the hour or so
);
create index broker_sessions_user on broker_sessions (user_key, used_at);
create index broker_sessions_hook on broker_sessions (tenant_id, hook, used_at);
create index broker_sessions_used on broker_sessions (used_at);
