-- Units per second that the operator gave a tenant and each of its keys; null: the deployment's.
alter table tenants add column rate_limit integer
  constraint tenants_rate_limit check (rate_limit between 200 and 1000000);

-- Quotas across replicas (RATE_LIMIT_STORE=postgres), a row for a window of a key or a tenant: counts of seconds, which a
-- crash may forget, and therefore not written ahead.
create unlogged table rate_limits (
  key    varchar(255) primary key,
  points integer not null default 0,
  expire bigint
);
