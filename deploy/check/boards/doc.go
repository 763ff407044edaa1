// Package boards has the dashboards of crmbridge for Grafana, and makes their files,
// deploy/observe/grafana/dashboards. [All] is what they show; [Queries] reads the files, for whoever
// tries what is asked of Prometheus there.
//
// The files name no source of data: a dashboard asks the one that is chosen in its variable
// $datasource, of the fleet in $job (whatever Prometheus calls the job that scrapes it) and of the
// processes in $instance. Figures of the whole fleet, which every process exports the same, are read
// with max() from all of them, whichever processes are chosen.
package boards
