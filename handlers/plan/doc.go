// Package plan turns a request's fields, order and filter into a query in the columns of
// one environment. What environments say about their columns is kept in a [Catalog].
package plan
