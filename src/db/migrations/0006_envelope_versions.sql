-- Versions of the envelope that callers of the tenant may ask for. Version 2 is what they get without asking.
alter table tenants add column envelope_versions smallint[] not null default '{2}'
  constraint tenants_envelope_versions check (envelope_versions in ('{2}', '{1,2}'));
