// Reads an environment through dynamics-web-api, a client that was written
// against the real Dataverse, and prints what it got as JSON. ENVIRONMENT is the
// environment's address, TOKEN an access token for it.
//
// The package is looked up from the working directory, so that it can be
// installed outside the checkout: run it as (cd FOLDER && node /path/to/read.mjs).
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { DynamicsWebApi } = createRequire(join(process.cwd(), 'package.json'))('dynamics-web-api');

const environment = process.env.ENVIRONMENT;
const api = new DynamicsWebApi({
  serverUrl: environment,
  dataApi: { version: '9.2' },
  onTokenRefresh: async () => process.env.TOKEN,
});

// failure is what a request fails with, as the client sees it.
async function failure(request) {
  try {
    await request();
    return { status: 200 };
  } catch (e) {
    return { status: e.status, code: e.code, message: e.message };
  }
}

// pages reads to the end, by the links that the answers carry.
async function pages(request) {
  const out = { sizes: [], rows: [] };
  let page = await api.retrieveMultiple(request);
  for (;;) {
    out.sizes.push(page.value.length);
    out.rows.push(...page.value);
    if (!page.oDataNextLink) return out;
    page = await api.retrieveMultiple(request, page.oDataNextLink);
  }
}

const me = await api.callFunction('WhoAmI');
const all = await pages({ collection: 'accounts', select: ['name'], maxPageSize: 37 });
const filtered = await pages({
  collection: 'accounts',
  select: ['name', 'industrycode', 'revenue', '_ownerid_value'],
  filter: "industrycode eq 7 or contains(name, 'O''Brien')",
  orderBy: ['name desc'],
  includeAnnotations: '*',
  maxPageSize: 5,
});
const counted = await api.retrieveMultiple({ collection: 'accounts', select: ['name'], top: 3, count: true });
const roles = await api.retrieve({
  collection: 'systemusers',
  key: me.UserId,
  select: ['fullname', 'isdisabled'],
  expand: [{ property: 'systemuserroles_association', select: ['roleid', 'name'] }],
});
const team = await api.retrieveMultiple({
  collection: 'systemusers',
  select: ['fullname'],
  filter: 'isdisabled eq false',
  expand: [{ property: 'systemuserroles_association', select: ['name'] }],
});
const definition = await api.retrieveEntity({ key: "LogicalName='account'", select: ['LogicalName', 'EntitySetName'] });
const industry = await api.retrieveAttribute({
  entityKey: "LogicalName='account'",
  attributeKey: "LogicalName='industrycode'",
  castType: 'Microsoft.Dynamics.CRM.PicklistAttributeMetadata',
  select: ['LogicalName'],
  expand: [{ property: 'OptionSet' }],
});
const privileges = await api.callFunction({
  name: 'Microsoft.Dynamics.CRM.RetrieveUserPrivileges',
  collection: 'systemusers',
  key: me.UserId,
});
api.startBatch(); // what follows is sent at once, in one request
api.retrieveMultiple({ collection: 'accounts', select: ['name'], top: 2, includeAnnotations: '*' });
api.callFunction('WhoAmI');
const [batchRows, batchMe] = await api.executeBatch();
const absent = '018d0d88-05c2-46bb-ac83-63a910e8b1f1';

console.log(JSON.stringify({
  whoAmI: me,
  all: { sizes: all.sizes, ids: all.rows.map((r) => r.accountid) },
  filtered: {
    sizes: filtered.sizes,
    // The client turns annotations into members of their own; both are kept.
    rows: filtered.rows.map((r) => ({
      id: r.accountid,
      name: r.name,
      industry: r.industrycode,
      label: r['industrycode@OData.Community.Display.V1.FormattedValue'],
      labelOfClient: r.industrycode_Formatted,
      owner: r._ownerid_value_Formatted,
      ownerTable: r._ownerid_value_LogicalName,
    })),
  },
  counted: { count: counted.oDataCount, rows: counted.value.length },
  roles: { name: roles.fullname, roles: roles.systemuserroles_association.map((r) => r.name) },
  team: team.value.map((u) => ({ name: u.fullname, roles: u.systemuserroles_association.length })),
  definition: { name: definition.LogicalName, set: definition.EntitySetName },
  industries: industry.OptionSet.Options.map((o) => o.Label.UserLocalizedLabel.Label),
  batch: { rows: batchRows.value.length, me: batchMe.UserId },
  privileges: privileges.RolePrivileges.map((p) => p.PrivilegeName),
  unknownColumn: await failure(() => api.retrieveMultiple({ collection: 'accounts', select: ['nix'] })),
  unknownRow: await failure(() => api.retrieve({ collection: 'accounts', key: absent, select: ['name'] })),
  unknownSet: await failure(() => api.retrieveMultiple({ collection: 'acounts', select: ['name'] })),
  unknownToken: await failure(() => new DynamicsWebApi({ serverUrl: environment, dataApi: { version: '9.2' } }).callFunction('WhoAmI')),
}));
