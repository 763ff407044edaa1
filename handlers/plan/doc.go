// Package plan turns a request's fields, order and filter into a query in the columns of
// one environment. The metadata of environments is kept in a [Catalog].
package plan
