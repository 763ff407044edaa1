// Package plan turns a request's fields, order and filter into a query in the columns that
// its table has in one environment. An [Entity] is such a table; the metadata of
// environments is kept in a [Catalog], apart for each table.
package plan
