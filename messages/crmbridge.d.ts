// crmbridge's bodies and headers. Made of asyncapi.json by "go generate ./messages"; do not edit.
// sha256 of asyncapi.json, generate.mjs, package-lock.json: c419f85f374145e0fdebb151ff7a8e81237b99e589bed07a7a973dfba3b3e873

export type Where =
  | {
      /**
       * @minItems 1
       * @maxItems 100
       */
      and: Where[];
      field?: null;
      not?: null;
      op?: null;
      or?: null;
      value?: null;
    }
  | {
      and?: null;
      field?: null;
      not?: null;
      op?: null;
      /**
       * @minItems 1
       * @maxItems 100
       */
      or: Where[];
      value?: null;
    }
  | {
      and?: null;
      field?: null;
      not: Where;
      op?: null;
      or?: null;
      value?: null;
    }
  | {
      and?: null;
      field: string;
      not?: null;
      op:
        | "eq"
        | "ne"
        | "lt"
        | "le"
        | "gt"
        | "ge"
        | "between"
        | "in"
        | "not_in"
        | "contains"
        | "not_contains"
        | "starts_with"
        | "ends_with"
        | "contains_any"
        | "contains_none"
        | "is_null"
        | "not_null";
      or?: null;
      value?: null | boolean | number | string | unknown[] | {};
    };

export interface AccountsChangesReply {
  /**
   * each account that was made or changed, as it is now
   */
  accounts: AccountsRow[];
  connection?: string;
  /**
   * ids of accounts that are gone
   */
  deleted: string[];
  has_more: boolean;
  next_cursor: string;
  request_id: string;
}
export interface AccountsRow {
  category?: Choice | null;
  city?: string | null;
  classification?: Choice | null;
  country?: string | null;
  created_at?: string | null;
  currency?: Lookup | null;
  do_not_bulk_email?: boolean | null;
  do_not_email?: boolean | null;
  email?: string | null;
  employees?: number | null;
  id?: string | null;
  industry?: Choice | null;
  merged?: boolean | null;
  merged_into?: Lookup | null;
  modified_at?: string | null;
  name?: string | null;
  owner?: Lookup | null;
  parent?: Lookup | null;
  phone?: string | null;
  postal_code?: string | null;
  relationship?: Choice | null;
  revenue?: number | null;
  revenue_base?: number | null;
  state?: string | null;
  status?: Choice | null;
  status_reason?: Choice | null;
  website?: string | null;
  [k: string]: unknown;
}
export interface Choice {
  label: string;
  value: number;
}
export interface Lookup {
  entity: string | null;
  id: string;
  name: string | null;
}
export interface AccountsChangesRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before, or of the last time; alone or with the identical fields
   */
  cursor?: string | null;
  /**
   * as in accounts.search; default id, name, website, classification, industry
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * 1 to 5000; default 1000
   */
  page_size?: number | null;
}
export interface AccountsChangesRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before, or of the last time; alone or with the identical fields
   */
  cursor?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * as in accounts.search; default id, name, website, classification, industry
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * 1 to 5000; default 1000
   */
  page_size?: number | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface AccountsCountReply {
  connection?: string;
  count: number;
  request_id: string;
}
export interface AccountsCountRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  where?: Where | null;
}
export interface AccountsCountRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
  where?: Where | null;
}
export interface AccountsFieldsReply {
  connection?: string;
  fields: Field[];
  next_cursor?: string;
  request_id: string;
}
export interface Field {
  custom: boolean;
  label: string;
  logical_name: string;
  name: string;
  options?: {
    label: string;
    value: number;
  }[];
  /**
   * how many options there are, where options_truncated
   */
  options_count?: number;
  /**
   * options holds not all of them
   */
  options_truncated?: boolean;
  /**
   * the user reads its values; false where field-level security hides them
   */
  readable: boolean;
  searchable: boolean;
  type:
    | "text"
    | "whole number"
    | "decimal"
    | "money"
    | "date and time"
    | "date"
    | "yes/no"
    | "choice"
    | "several choices"
    | "GUID"
    | "lookup";
}
export interface AccountsFieldsRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before
   */
  cursor?: string | null;
  /**
   * only columns that the customer or an app added
   */
  custom_only?: boolean | null;
}
export interface AccountsFieldsRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before
   */
  cursor?: string | null;
  /**
   * only columns that the customer or an app added
   */
  custom_only?: boolean | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface AccountsGetRequest {
  /**
   * accountid
   */
  account_id: string;
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * as in accounts.search; default id, name, website, classification, industry
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
}
export interface AccountsGetRequestAsJob {
  /**
   * accountid
   */
  account_id: string;
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * as in accounts.search; default id, name, website, classification, industry
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface AccountsPage {
  /**
   * the requested fields of each account, under the names they were asked by
   */
  accounts: AccountsRow[];
  connection?: string;
  /**
   * there are more; send it as cursor
   */
  next_cursor?: string;
  request_id: string;
  /**
   * how many accounts match in all, where include_total asked for it
   */
  total?: number;
}
export interface AccountsRowReply {
  account: AccountsRow;
  connection?: string;
  request_id: string;
}
export interface AccountsSearchRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before; alone or with the identical query
   */
  cursor?: string | null;
  /**
   * friendly or logical column names; default id, name, website, classification, industry; the friendly names are id, owner, parent, name, website, phone, email, city, state, country, postal_code, classification, industry, category, relationship, status, status_reason, employees, revenue, revenue_base, currency, merged, merged_into, created_at, modified_at, do_not_email, do_not_bulk_email
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * count the matching accounts too
   */
  include_total?: boolean | null;
  /**
   * at most this many rows over all pages
   */
  limit?: number | null;
  /**
   * page (default) or stream
   */
  mode?: "page" | "stream" | "" | null;
  /**
   * fields, a leading hyphen sorts in descending order; the id is added as the last key
   *
   * @maxItems 10
   */
  order_by?: null | string[];
  /**
   * 1 to 5000; default 100 in page mode, 5000 in stream mode
   */
  page_size?: number | null;
  where?: Where | null;
}
export interface AccountsSearchRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * a job reads everything from the beginning: leave it out
   */
  cursor?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * friendly or logical column names; default id, name, website, classification, industry; the friendly names are id, owner, parent, name, website, phone, email, city, state, country, postal_code, classification, industry, category, relationship, status, status_reason, employees, revenue, revenue_base, currency, merged, merged_into, created_at, modified_at, do_not_email, do_not_bulk_email
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * count the matching accounts too
   */
  include_total?: boolean | null;
  /**
   * at most this many rows over all pages
   */
  limit?: number | null;
  /**
   * page (default) or stream
   */
  mode?: "page" | "stream" | "" | null;
  /**
   * fields, a leading hyphen sorts in descending order; the id is added as the last key
   *
   * @maxItems 10
   */
  order_by?: null | string[];
  /**
   * 1 to 5000; default 100 in page mode, 5000 in stream mode
   */
  page_size?: number | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
  where?: Where | null;
}
export interface AuthorizeReply {
  authorization_url?: string;
  /**
   * the page that a person at the customer opens; not for client_credentials
   */
  connect_url?: string;
  connection?: string | Connection;
  /**
   * until when the page can be opened
   */
  expires_at?: string;
  request_id: string;
  state?: string;
  tables?: string[];
}
export interface Connection {
  access_token_expires_at: null | string;
  created_at?: string;
  environment_url: string;
  grant: "authorization_code" | "client_credentials" | "";
  id: string;
  last_error?: string;
  organization_id: string;
  organization_name: null | string;
  refreshed_at: null | string;
  scopes: string[];
  /**
   * pending, active, reauthorization_required, or in lists unreadable
   */
  status: "pending" | "active" | "reauthorization_required" | "unreadable";
  /**
   * tables that the person who connected was told of; none while pending
   */
  tables: string[];
  tenant_id: string;
  user_full_name: null | string;
  user_id: string;
  user_name: null | string;
}
export interface AuthorizeRequest {
  /**
   * let another user than before take over an existing connection
   */
  allow_user_change?: boolean | null;
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * calls of Dataverse that the customer allows the connection's user a day (UTC); without it the connection keeps what it has
   */
  daily_calls?: number | null;
  /**
   * origin of the Dataverse environment, for example https://contoso.crm4.dynamics.com
   */
  environment_url: string;
  /**
   * authorization_code (default) or client_credentials
   */
  grant?: "authorization_code" | "client_credentials" | "" | null;
  /**
   * user name to fill in at Microsoft's sign-in page
   */
  login_hint?: string | null;
  /**
   * login, consent, select_account or none
   */
  prompt?: "login" | "consent" | "select_account" | "none" | "" | null;
  /**
   * directory id, verified domain, organizations or common; by default the environment's own directory
   */
  tenant?: string | null;
}
export interface CheckRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * tables to check; default those that the connection was made for
   *
   * @minItems 1
   * @maxItems 100
   */
  tables?: null | ("accounts" | "contacts" | "leads" | "opportunities")[];
}
export interface ChecksReply {
  checks: PermissionCheck[];
  connection?: string;
  request_id: string;
}
export interface PermissionCheck {
  /**
   * organization, deep, local or basic: which rows of the table the user reads
   */
  depth?: "organization" | "deep" | "local" | "basic";
  detail?: string;
  how_to_fix?: string;
  missing_privilege?: string;
  name: string;
  ok: boolean;
}
export interface CompleteRequest {
  code?: string | null;
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  error?: string | null;
  error_description?: string | null;
  state: string;
}
export interface ConnectionEvent {
  at: string;
  connection: string;
  environment_url?: string;
  event_id: string;
  incarnation?: string;
  kind: "connected" | "reauthorization_required" | "deleted";
  last_error?: string;
  status?: "pending" | "active" | "reauthorization_required" | "unreadable";
  version: number;
}
export interface ConnectionGetReply {
  connection: Connection;
  request_id: string;
  /**
   * how far the sign-in of connect_url is, where the request has one
   */
  sign_in?: {
    error?: Error;
    /**
     * waiting: nobody has come back from Microsoft yet; connected: the link made the connection; failed: who came back last did without success; expired: the link cannot be opened any more
     */
    phase: "waiting" | "connected" | "failed" | "expired";
  };
}
export interface Error {
  admin_consent_url?: string;
  code:
    | "cancelled"
    | "configuration_error"
    | "connection_exists"
    | "connection_not_found"
    | "consent_required"
    | "cursor_expired"
    | "deadline_exceeded"
    | "identity_mismatch"
    | "internal"
    | "invalid_request"
    | "invalid_state"
    | "not_found"
    | "not_supported"
    | "overloaded"
    | "permission_denied"
    | "reauthorization_required"
    | "throttled"
    | "too_large"
    | "unavailable"
    | "upstream_error";
  details?: Detail[];
  dynamics?: {
    code: string;
    message: string;
    request_id: string;
    status: number;
  };
  message: string;
  retry_after_ms?: number;
  retryable: boolean;
}
export interface Detail {
  message: string;
  path: string;
}
export interface ConnectionGetRequest {
  /**
   * the connect_url that connections.authorize answered with: the reply says in sign_in how far that sign-in is
   */
  connect_url?: string | null;
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
}
export interface ConnectionReply {
  connection: Connection;
  request_id: string;
}
export interface ConnectionRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
}
export interface ConnectionRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface ConnectionsListReply {
  connection?: string;
  connections: Connection[];
  next_cursor?: string;
  request_id: string;
}
export interface ConnectionsListRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before
   */
  cursor?: string | null;
  /**
   * 1 to 1000, default 100
   */
  page_size?: number | null;
}
export interface ContactsChangesReply {
  connection?: string;
  /**
   * each contact that was made or changed, as it is now
   */
  contacts: ContactsRow[];
  /**
   * ids of contacts that are gone
   */
  deleted: string[];
  has_more: boolean;
  next_cursor: string;
  request_id: string;
}
export interface ContactsRow {
  account?: Lookup | null;
  city?: string | null;
  country?: string | null;
  created_at?: string | null;
  currency?: Lookup | null;
  department?: string | null;
  do_not_bulk_email?: boolean | null;
  do_not_email?: boolean | null;
  email?: string | null;
  first_name?: string | null;
  id?: string | null;
  job_title?: string | null;
  last_name?: string | null;
  merged?: boolean | null;
  merged_into?: Lookup | null;
  mobile?: string | null;
  modified_at?: string | null;
  name?: string | null;
  owner?: Lookup | null;
  phone?: string | null;
  postal_code?: string | null;
  state?: string | null;
  status?: Choice | null;
  status_reason?: Choice | null;
  [k: string]: unknown;
}
export interface ContactsChangesRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before, or of the last time; alone or with the identical fields
   */
  cursor?: string | null;
  /**
   * as in contacts.search; default id, name, email, job_title, account
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * 1 to 5000; default 1000
   */
  page_size?: number | null;
}
export interface ContactsChangesRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before, or of the last time; alone or with the identical fields
   */
  cursor?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * as in contacts.search; default id, name, email, job_title, account
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * 1 to 5000; default 1000
   */
  page_size?: number | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface ContactsCountReply {
  connection?: string;
  count: number;
  request_id: string;
}
export interface ContactsCountRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  where?: Where | null;
}
export interface ContactsCountRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
  where?: Where | null;
}
export interface ContactsFieldsReply {
  connection?: string;
  fields: Field[];
  next_cursor?: string;
  request_id: string;
}
export interface ContactsFieldsRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before
   */
  cursor?: string | null;
  /**
   * only columns that the customer or an app added
   */
  custom_only?: boolean | null;
}
export interface ContactsFieldsRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before
   */
  cursor?: string | null;
  /**
   * only columns that the customer or an app added
   */
  custom_only?: boolean | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface ContactsGetRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * contactid
   */
  contact_id: string;
  /**
   * as in contacts.search; default id, name, email, job_title, account
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
}
export interface ContactsGetRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * contactid
   */
  contact_id: string;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * as in contacts.search; default id, name, email, job_title, account
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface ContactsPage {
  connection?: string;
  /**
   * the requested fields of each contact, under the names they were asked by
   */
  contacts: ContactsRow[];
  /**
   * there are more; send it as cursor
   */
  next_cursor?: string;
  request_id: string;
  /**
   * how many contacts match in all, where include_total asked for it
   */
  total?: number;
}
export interface ContactsRowReply {
  connection?: string;
  contact: ContactsRow;
  request_id: string;
}
export interface ContactsSearchRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before; alone or with the identical query
   */
  cursor?: string | null;
  /**
   * friendly or logical column names; default id, name, email, job_title, account; the friendly names are id, account, owner, name, first_name, last_name, email, phone, mobile, job_title, department, city, state, country, postal_code, status, status_reason, currency, merged, merged_into, created_at, modified_at, do_not_email, do_not_bulk_email
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * count the matching contacts too
   */
  include_total?: boolean | null;
  /**
   * at most this many rows over all pages
   */
  limit?: number | null;
  /**
   * page (default) or stream
   */
  mode?: "page" | "stream" | "" | null;
  /**
   * fields, a leading hyphen sorts in descending order; the id is added as the last key
   *
   * @maxItems 10
   */
  order_by?: null | string[];
  /**
   * 1 to 5000; default 100 in page mode, 5000 in stream mode
   */
  page_size?: number | null;
  where?: Where | null;
}
export interface ContactsSearchRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * a job reads everything from the beginning: leave it out
   */
  cursor?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * friendly or logical column names; default id, name, email, job_title, account; the friendly names are id, account, owner, name, first_name, last_name, email, phone, mobile, job_title, department, city, state, country, postal_code, status, status_reason, currency, merged, merged_into, created_at, modified_at, do_not_email, do_not_bulk_email
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * count the matching contacts too
   */
  include_total?: boolean | null;
  /**
   * at most this many rows over all pages
   */
  limit?: number | null;
  /**
   * page (default) or stream
   */
  mode?: "page" | "stream" | "" | null;
  /**
   * fields, a leading hyphen sorts in descending order; the id is added as the last key
   *
   * @maxItems 10
   */
  order_by?: null | string[];
  /**
   * 1 to 5000; default 100 in page mode, 5000 in stream mode
   */
  page_size?: number | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
  where?: Where | null;
}
export interface DeadLetterHeaders {
  /**
   * Executions that ended in an error that may pass.
   */
  "Crm-Attempts": string;
  /**
   * Code of the error.
   */
  "Crm-Error-Code":
    | "cancelled"
    | "configuration_error"
    | "connection_exists"
    | "connection_not_found"
    | "consent_required"
    | "cursor_expired"
    | "deadline_exceeded"
    | "identity_mismatch"
    | "internal"
    | "invalid_request"
    | "invalid_state"
    | "not_found"
    | "not_supported"
    | "overloaded"
    | "permission_denied"
    | "reauthorization_required"
    | "throttled"
    | "too_large"
    | "unavailable"
    | "upstream_error";
  /**
   * Incarnation of the connection. Readers ignore messages of another one than the job's.
   */
  "Crm-Incarnation"?: string;
  /**
   * Operation of the job.
   */
  "Crm-Operation": string;
  /**
   * Correlates a request with what answers it. crmbridge makes one where it is absent.
   */
  "Crm-Request-Id": string;
  /**
   * Message of the error, shortened where it is long.
   */
  "Nats-Service-Error": string;
  /**
   * HTTP-like number of the error, as NATS's services API has it.
   */
  "Nats-Service-Error-Code": string;
}
export interface DeletedReply {
  connection?: string;
  deleted: boolean;
  request_id: string;
}
export interface ErrorHeaders {
  /**
   * Code of the error.
   */
  "Crm-Error-Code":
    | "cancelled"
    | "configuration_error"
    | "connection_exists"
    | "connection_not_found"
    | "consent_required"
    | "cursor_expired"
    | "deadline_exceeded"
    | "identity_mismatch"
    | "internal"
    | "invalid_request"
    | "invalid_state"
    | "not_found"
    | "not_supported"
    | "overloaded"
    | "permission_denied"
    | "reauthorization_required"
    | "throttled"
    | "too_large"
    | "unavailable"
    | "upstream_error";
  /**
   * On the last message of an answer of several.
   */
  "Crm-Last"?: "true";
  /**
   * Number of this message in an answer of several, from 1; a gap means loss.
   */
  "Crm-Page"?: string;
  /**
   * Correlates a request with what answers it. crmbridge makes one where it is absent.
   */
  "Crm-Request-Id": string;
  /**
   * Message of the error, shortened where it is long.
   */
  "Nats-Service-Error": string;
  /**
   * HTTP-like number of the error, as NATS's services API has it.
   */
  "Nats-Service-Error-Code": string;
  /**
   * W3C trace context.
   */
  traceparent?: string;
  /**
   * W3C trace context.
   */
  tracestate?: string;
}
export interface ErrorReply {
  connection?: string;
  error: Error;
  request_id: string;
}
export interface EventHeaders {
  /**
   * Id of the event, by which the stream knows one that comes twice.
   */
  "Nats-Msg-Id": string;
}
export interface Job {
  attempts: number;
  bytes: number;
  connection: string;
  /**
   * of the job's subject and body: another job under the same id has another
   */
  digest?: string;
  error?: Error;
  finished_at: null | string;
  id: string;
  /**
   * the connection's incarnation, as in Crm-Incarnation of the results
   */
  incarnation?: string;
  operation: string;
  pages: number;
  queued_at: string;
  /**
   * the job waits until then
   */
  retry_at?: string;
  /**
   * the job whose dead letter this one runs again
   */
  retry_of?: string;
  rows: number;
  started_at: null | string;
  /**
   * queued, running, done, failed or cancelled
   */
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  takeovers: number;
  /**
   * rows that the job will have, where that is known
   */
  total?: number;
}
export interface JobHeaders {
  /**
   * RFC 3339 time at which the requester stops waiting; 30 s after receipt by default on the interactive lane, 5 min at most.
   */
  "Crm-Deadline"?: string;
  /**
   * Correlates a request with what answers it. crmbridge makes one where it is absent.
   */
  "Crm-Request-Id"?: string;
  /**
   * The job whose dead letter this one runs again.
   */
  "Crm-Retry-Of"?: string;
  /**
   * W3C trace context.
   */
  traceparent?: string;
  /**
   * W3C trace context.
   */
  tracestate?: string;
}
export interface JobRecord {
  attempts: number;
  beat: number;
  bytes: number;
  connection: string;
  /**
   * of the job's subject and body: another job under the same id has another
   */
  digest?: string;
  error?: Error;
  finished_at: null | string;
  form: number;
  id: string;
  /**
   * the connection's incarnation, as in Crm-Incarnation of the results
   */
  incarnation?: string;
  operation: string;
  owner?: string;
  pages: number;
  queued_at: string;
  request_id: string;
  /**
   * the job waits until then
   */
  retry_at?: string;
  /**
   * the job whose dead letter this one runs again
   */
  retry_of?: string;
  rows: number;
  started_at: null | string;
  /**
   * queued, running, done, failed or cancelled
   */
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  takeovers: number;
  /**
   * rows that the job will have, where that is known
   */
  total?: number;
}
export interface JobReply {
  job: Job;
  request_id: string;
}
export interface JobRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * id of the job
   */
  job_id: string;
}
export interface JobResultsReply {
  connection?: string;
  request_id: string;
}
export interface JobResultsRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * id of the job
   */
  job_id: string;
  /**
   * number of the message, Crm-Page; the first is 1
   */
  page: number;
}
export interface JobRetryRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * id of the job that failed
   */
  job_id: string;
  /**
   * id of the job that runs it again; default a new one
   */
  new_job_id?: string | null;
}
export interface JobsListReply {
  connection?: string;
  jobs: Job[];
  /**
   * there are more; send it as cursor
   */
  next_cursor?: string;
  request_id: string;
}
export interface JobsListRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before
   */
  cursor?: string | null;
  /**
   * 1 to 1000; default 100
   */
  page_size?: number | null;
}
export interface LeadsChangesReply {
  connection?: string;
  /**
   * ids of leads that are gone
   */
  deleted: string[];
  has_more: boolean;
  /**
   * each lead that was made or changed, as it is now
   */
  leads: LeadsRow[];
  next_cursor: string;
  request_id: string;
}
export interface LeadsRow {
  account?: Lookup | null;
  city?: string | null;
  company?: string | null;
  contact?: Lookup | null;
  country?: string | null;
  created_at?: string | null;
  currency?: Lookup | null;
  do_not_bulk_email?: boolean | null;
  do_not_email?: boolean | null;
  email?: string | null;
  employees?: number | null;
  first_name?: string | null;
  id?: string | null;
  industry?: Choice | null;
  job_title?: string | null;
  last_name?: string | null;
  merged?: boolean | null;
  merged_into?: Lookup | null;
  mobile?: string | null;
  modified_at?: string | null;
  name?: string | null;
  owner?: Lookup | null;
  phone?: string | null;
  rating?: Choice | null;
  revenue?: number | null;
  revenue_base?: number | null;
  source?: Choice | null;
  state?: string | null;
  status?: Choice | null;
  status_reason?: Choice | null;
  website?: string | null;
  [k: string]: unknown;
}
export interface LeadsChangesRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before, or of the last time; alone or with the identical fields
   */
  cursor?: string | null;
  /**
   * as in leads.search; default id, name, company, email, job_title
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * 1 to 5000; default 1000
   */
  page_size?: number | null;
}
export interface LeadsChangesRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before, or of the last time; alone or with the identical fields
   */
  cursor?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * as in leads.search; default id, name, company, email, job_title
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * 1 to 5000; default 1000
   */
  page_size?: number | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface LeadsCountReply {
  connection?: string;
  count: number;
  request_id: string;
}
export interface LeadsCountRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  where?: Where | null;
}
export interface LeadsCountRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
  where?: Where | null;
}
export interface LeadsFieldsReply {
  connection?: string;
  fields: Field[];
  next_cursor?: string;
  request_id: string;
}
export interface LeadsFieldsRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before
   */
  cursor?: string | null;
  /**
   * only columns that the customer or an app added
   */
  custom_only?: boolean | null;
}
export interface LeadsFieldsRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before
   */
  cursor?: string | null;
  /**
   * only columns that the customer or an app added
   */
  custom_only?: boolean | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface LeadsGetRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * as in leads.search; default id, name, company, email, job_title
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * leadid
   */
  lead_id: string;
}
export interface LeadsGetRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * as in leads.search; default id, name, company, email, job_title
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * leadid
   */
  lead_id: string;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface LeadsPage {
  connection?: string;
  /**
   * the requested fields of each lead, under the names they were asked by
   */
  leads: LeadsRow[];
  /**
   * there are more; send it as cursor
   */
  next_cursor?: string;
  request_id: string;
  /**
   * how many leads match in all, where include_total asked for it
   */
  total?: number;
}
export interface LeadsRowReply {
  connection?: string;
  lead: LeadsRow;
  request_id: string;
}
export interface LeadsSearchRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before; alone or with the identical query
   */
  cursor?: string | null;
  /**
   * friendly or logical column names; default id, name, company, email, job_title; the friendly names are id, account, contact, owner, name, first_name, last_name, company, job_title, email, phone, mobile, website, city, state, country, industry, source, rating, status, status_reason, employees, revenue, revenue_base, currency, merged, merged_into, created_at, modified_at, do_not_email, do_not_bulk_email
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * count the matching leads too
   */
  include_total?: boolean | null;
  /**
   * at most this many rows over all pages
   */
  limit?: number | null;
  /**
   * page (default) or stream
   */
  mode?: "page" | "stream" | "" | null;
  /**
   * fields, a leading hyphen sorts in descending order; the id is added as the last key
   *
   * @maxItems 10
   */
  order_by?: null | string[];
  /**
   * 1 to 5000; default 100 in page mode, 5000 in stream mode
   */
  page_size?: number | null;
  where?: Where | null;
}
export interface LeadsSearchRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * a job reads everything from the beginning: leave it out
   */
  cursor?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * friendly or logical column names; default id, name, company, email, job_title; the friendly names are id, account, contact, owner, name, first_name, last_name, company, job_title, email, phone, mobile, website, city, state, country, industry, source, rating, status, status_reason, employees, revenue, revenue_base, currency, merged, merged_into, created_at, modified_at, do_not_email, do_not_bulk_email
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * count the matching leads too
   */
  include_total?: boolean | null;
  /**
   * at most this many rows over all pages
   */
  limit?: number | null;
  /**
   * page (default) or stream
   */
  mode?: "page" | "stream" | "" | null;
  /**
   * fields, a leading hyphen sorts in descending order; the id is added as the last key
   *
   * @maxItems 10
   */
  order_by?: null | string[];
  /**
   * 1 to 5000; default 100 in page mode, 5000 in stream mode
   */
  page_size?: number | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
  where?: Where | null;
}
export interface LimitsReply {
  /**
   * requests, execution_time or concurrency; not there where Dataverse did not say it
   */
  blocked_by?: "requests" | "execution_time" | "concurrency";
  /**
   * no call begins before; not there where Dataverse takes calls
   */
  blocked_until?: string;
  /**
   * circuit breaker in the process that answers: closed, open or half_open
   */
  breaker: "closed" | "open" | "half_open";
  /**
   * calls of the fleet since midnight UTC
   */
  calls_today: number;
  connection?: string;
  /**
   * calls a day that the customer allows; not there where nothing is said
   */
  daily_calls?: number;
  /**
   * calls in flight over the fleet
   */
  in_flight: number;
  /**
   * how many calls may be in flight over the fleet
   */
  limit: number;
  /**
   * calls that wait in the process that answers
   */
  queued: number;
  request_id: string;
}
export interface OpportunitiesChangesReply {
  connection?: string;
  /**
   * ids of opportunities that are gone
   */
  deleted: string[];
  has_more: boolean;
  next_cursor: string;
  /**
   * each opportunity that was made or changed, as it is now
   */
  opportunities: OpportunitiesRow[];
  request_id: string;
}
export interface OpportunitiesRow {
  account?: Lookup | null;
  actual_close?: string | null;
  actual_value?: number | null;
  contact?: Lookup | null;
  created_at?: string | null;
  currency?: Lookup | null;
  estimated_close?: string | null;
  estimated_value?: number | null;
  id?: string | null;
  modified_at?: string | null;
  name?: string | null;
  owner?: Lookup | null;
  probability?: number | null;
  stage?: string | null;
  status?: Choice | null;
  status_reason?: Choice | null;
  [k: string]: unknown;
}
export interface OpportunitiesChangesRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before, or of the last time; alone or with the identical fields
   */
  cursor?: string | null;
  /**
   * as in opportunities.search; default id, name, account, stage, estimated_value
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * 1 to 5000; default 1000
   */
  page_size?: number | null;
}
export interface OpportunitiesChangesRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before, or of the last time; alone or with the identical fields
   */
  cursor?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * as in opportunities.search; default id, name, account, stage, estimated_value
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * 1 to 5000; default 1000
   */
  page_size?: number | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface OpportunitiesCountReply {
  connection?: string;
  count: number;
  request_id: string;
}
export interface OpportunitiesCountRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  where?: Where | null;
}
export interface OpportunitiesCountRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
  where?: Where | null;
}
export interface OpportunitiesFieldsReply {
  connection?: string;
  fields: Field[];
  next_cursor?: string;
  request_id: string;
}
export interface OpportunitiesFieldsRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before
   */
  cursor?: string | null;
  /**
   * only columns that the customer or an app added
   */
  custom_only?: boolean | null;
}
export interface OpportunitiesFieldsRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before
   */
  cursor?: string | null;
  /**
   * only columns that the customer or an app added
   */
  custom_only?: boolean | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface OpportunitiesGetRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * as in opportunities.search; default id, name, account, stage, estimated_value
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * opportunityid
   */
  opportunity_id: string;
}
export interface OpportunitiesGetRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * as in opportunities.search; default id, name, account, stage, estimated_value
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * opportunityid
   */
  opportunity_id: string;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
}
export interface OpportunitiesPage {
  connection?: string;
  /**
   * there are more; send it as cursor
   */
  next_cursor?: string;
  /**
   * the requested fields of each opportunity, under the names they were asked by
   */
  opportunities: OpportunitiesRow[];
  request_id: string;
  /**
   * how many opportunities match in all, where include_total asked for it
   */
  total?: number;
}
export interface OpportunitiesRowReply {
  connection?: string;
  opportunity: OpportunitiesRow;
  request_id: string;
}
export interface OpportunitiesSearchRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * next_cursor of the reply before; alone or with the identical query
   */
  cursor?: string | null;
  /**
   * friendly or logical column names; default id, name, account, stage, estimated_value; the friendly names are id, account, contact, owner, name, stage, status, status_reason, probability, estimated_value, estimated_close, actual_value, actual_close, currency, created_at, modified_at
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * count the matching opportunities too
   */
  include_total?: boolean | null;
  /**
   * at most this many rows over all pages
   */
  limit?: number | null;
  /**
   * page (default) or stream
   */
  mode?: "page" | "stream" | "" | null;
  /**
   * fields, a leading hyphen sorts in descending order; the id is added as the last key
   *
   * @maxItems 10
   */
  order_by?: null | string[];
  /**
   * 1 to 5000; default 100 in page mode, 5000 in stream mode
   */
  page_size?: number | null;
  where?: Where | null;
}
export interface OpportunitiesSearchRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * a job reads everything from the beginning: leave it out
   */
  cursor?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * friendly or logical column names; default id, name, account, stage, estimated_value; the friendly names are id, account, contact, owner, name, stage, status, status_reason, probability, estimated_value, estimated_close, actual_value, actual_close, currency, created_at, modified_at
   *
   * @minItems 1
   * @maxItems 100
   */
  fields?: null | string[];
  /**
   * count the matching opportunities too
   */
  include_total?: boolean | null;
  /**
   * at most this many rows over all pages
   */
  limit?: number | null;
  /**
   * page (default) or stream
   */
  mode?: "page" | "stream" | "" | null;
  /**
   * fields, a leading hyphen sorts in descending order; the id is added as the last key
   *
   * @maxItems 10
   */
  order_by?: null | string[];
  /**
   * 1 to 5000; default 100 in page mode, 5000 in stream mode
   */
  page_size?: number | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
  where?: Where | null;
}
export interface RecordHeaders {
  /**
   * Incarnation of the connection. Readers ignore messages of another one than the job's.
   */
  "Crm-Incarnation"?: string;
}
export interface ReplyHeaders {
  /**
   * On the last message of an answer of several.
   */
  "Crm-Last"?: "true";
  /**
   * Number of this message in an answer of several, from 1; a gap means loss.
   */
  "Crm-Page"?: string;
  /**
   * Correlates a request with what answers it. crmbridge makes one where it is absent.
   */
  "Crm-Request-Id": string;
  /**
   * W3C trace context.
   */
  traceparent?: string;
  /**
   * W3C trace context.
   */
  tracestate?: string;
}
export interface RequestHeaders {
  /**
   * RFC 3339 time at which the requester stops waiting; 30 s after receipt by default on the interactive lane, 5 min at most.
   */
  "Crm-Deadline"?: string;
  /**
   * Correlates a request with what answers it. crmbridge makes one where it is absent.
   */
  "Crm-Request-Id"?: string;
  /**
   * W3C trace context.
   */
  traceparent?: string;
  /**
   * W3C trace context.
   */
  tracestate?: string;
}
export interface ResultErrorHeaders {
  /**
   * Code of the error.
   */
  "Crm-Error-Code":
    | "cancelled"
    | "configuration_error"
    | "connection_exists"
    | "connection_not_found"
    | "consent_required"
    | "cursor_expired"
    | "deadline_exceeded"
    | "identity_mismatch"
    | "internal"
    | "invalid_request"
    | "invalid_state"
    | "not_found"
    | "not_supported"
    | "overloaded"
    | "permission_denied"
    | "reauthorization_required"
    | "throttled"
    | "too_large"
    | "unavailable"
    | "upstream_error";
  /**
   * Incarnation of the connection. Readers ignore messages of another one than the job's.
   */
  "Crm-Incarnation"?: string;
  /**
   * On the last message of an answer of several.
   */
  "Crm-Last": "true";
  /**
   * Number of this message in an answer of several, from 1; a gap means loss.
   */
  "Crm-Page": string;
  /**
   * Correlates a request with what answers it. crmbridge makes one where it is absent.
   */
  "Crm-Request-Id": string;
  /**
   * Rows of the job up to this message.
   */
  "Crm-Rows": string;
  /**
   * Rows that the job will have, where that is known.
   */
  "Crm-Total"?: string;
  /**
   * Message of the error, shortened where it is long.
   */
  "Nats-Service-Error": string;
  /**
   * HTTP-like number of the error, as NATS's services API has it.
   */
  "Nats-Service-Error-Code": string;
  /**
   * W3C trace context.
   */
  traceparent?: string;
  /**
   * W3C trace context.
   */
  tracestate?: string;
}
export interface ResultHeaders {
  /**
   * How the body is compressed, where the job asked for it.
   */
  "Content-Encoding"?: "zstd";
  /**
   * Sealed place from which crmbridge goes on. Not for readers.
   */
  "Crm-Checkpoint"?: string;
  /**
   * Incarnation of the connection. Readers ignore messages of another one than the job's.
   */
  "Crm-Incarnation"?: string;
  /**
   * On the last message of an answer of several.
   */
  "Crm-Last"?: "true";
  /**
   * Number of this message in an answer of several, from 1; a gap means loss.
   */
  "Crm-Page": string;
  /**
   * Correlates a request with what answers it. crmbridge makes one where it is absent.
   */
  "Crm-Request-Id": string;
  /**
   * Rows of the job up to this message.
   */
  "Crm-Rows": string;
  /**
   * Rows that the job will have, where that is known.
   */
  "Crm-Total"?: string;
  /**
   * W3C trace context.
   */
  traceparent?: string;
  /**
   * W3C trace context.
   */
  tracestate?: string;
}
export interface Role {
  id: string;
  name: string;
  via: string;
}
export interface StoredHeaders {
  /**
   * How the body is compressed, where the job asked for it.
   */
  "Content-Encoding"?: "zstd";
  /**
   * Incarnation of the connection. Readers ignore messages of another one than the job's.
   */
  "Crm-Incarnation"?: string;
  /**
   * On the last message of an answer of several.
   */
  "Crm-Last"?: "true";
  /**
   * Number of this message in an answer of several, from 1; a gap means loss.
   */
  "Crm-Page": string;
  /**
   * Correlates a request with what answers it. crmbridge makes one where it is absent.
   */
  "Crm-Request-Id": string;
  /**
   * Rows of the job up to this message.
   */
  "Crm-Rows": string;
  /**
   * Rows that the job will have, where that is known.
   */
  "Crm-Total"?: string;
  /**
   * W3C trace context.
   */
  traceparent?: string;
  /**
   * W3C trace context.
   */
  tracestate?: string;
}
export interface User {
  business_unit_id: string;
  disabled: boolean;
  email: string;
  id: string;
  name: string;
  roles: Role[];
  /**
   * the user is in more than 500 teams; roles of the others are missing
   */
  roles_truncated?: boolean;
  title: string;
}
export interface UserGetRequest {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * primary e-mail address or user name; give this or user_id
   */
  email?: string | null;
  /**
   * systemuserid; give this or email
   */
  user_id?: string | null;
}
export interface UserGetRequestAsJob {
  /**
   * id of the connection; may be left out on a subject that names it
   */
  connection?: string | null;
  /**
   * primary e-mail address or user name; give this or user_id
   */
  email?: string | null;
  /**
   * zstd compresses the results; default none
   */
  encoding?: "" | "zstd" | null;
  /**
   * false reads the rows one page after the other; default true
   */
  parallel?: null | boolean;
  /**
   * systemuserid; give this or email
   */
  user_id?: string | null;
}
export interface UserReply {
  connection?: string;
  request_id: string;
  user: User;
}
export interface WhoAmIReply {
  business_unit_id: string;
  connection?: string;
  organization_id: string;
  request_id: string;
  user_id: string;
}
