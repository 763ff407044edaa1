package boards

import (
	"bytes"
	"encoding/json"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

//lint:file-ignore SA1019 the second version of dashboards is for Grafana 12 and later; the first one opens everywhere

// A Board is one dashboard.
type Board struct {
	File  string // its name below deploy/observe/grafana/dashboards
	uid   string
	title string
	about string
	rows  []row
}

type row struct {
	title  string
	panels []panel
}

// All are the dashboards, in the order in which one looks at them.
func All() []Board { return []Board{service(), dataverse(), connectionsAndJobs()} }

const (
	tag       = "crmbridge"
	documents = "https://github.com/crmbridge/crmbridge/blob/main/deploy/"
)

// source is the source of data that the reader chose.
func source() common.DataSourceRef {
	kind, uid := "prometheus", "${datasource}"
	return common.DataSourceRef{Type: &kind, Uid: &uid}
}

// JSON is the dashboard as Grafana reads it.
func (b Board) JSON() ([]byte, error) {
	made := dashboard.NewDashboardBuilder(b.title).Uid(b.uid).Description(b.about).Tags([]string{tag}).
		Editable().Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Time("now-3h", "now").Refresh("30s").Timezone("browser")
	for _, v := range variables() {
		made.WithVariable(v)
	}
	for _, l := range links() {
		made.Link(l)
	}
	for _, a := range annotations() {
		made.Annotation(a)
	}
	id := uint32(0) // they begin anew in each dashboard, and links to a panel name them
	for _, r := range b.rows {
		id++
		made.WithRow(dashboard.NewRowBuilder(r.title).Id(id))
		for _, p := range r.panels {
			id++
			made.WithPanel(p.build(id))
		}
	}
	whole, err := made.Build()
	if err != nil {
		return nil, err
	}
	inSight(&whole)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(whole)
	return text.Bytes(), err
}

// inSight brings links and annotations back to where all versions of Grafana show them; the library
// puts them into a menu.
func inSight(whole *dashboard.Dashboard) {
	for i := range whole.Links {
		whole.Links[i].Placement = nil
	}
	for i := range whole.Annotations.List {
		whole.Annotations.List[i].Placement = nil
	}
	for _, p := range whole.Panels {
		if p.Panel != nil {
			for i := range p.Panel.Links {
				p.Panel.Links[i].Placement = nil
			}
		}
	}
}

// variables are what a reader chooses at the top: where the figures are, which fleet, which processes.
func variables() []variable {
	ask := func(name, label, about, query string) *dashboard.QueryVariableBuilder {
		return dashboard.NewQueryVariableBuilder(name).Label(label).Description(about).Datasource(source()).
			Query(dashboard.StringOrMap{String: &query}).Definition(query).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortNaturalAsc)
	}
	everything := func(of string) dashboard.StringOrArrayOfString {
		return dashboard.StringOrArrayOfString{ArrayOfString: []string{of}}
	}
	return []variable{
		dashboard.NewDatasourceVariableBuilder("datasource").Label("Source").Type("prometheus").
			Description("The Prometheus that scrapes crmbridge."),
		ask("job", "Fleet", "The job under which Prometheus scrapes one fleet. Figures of two fleets do not add up.",
			"label_values(crmbridge_build_info, job)"),
		ask("instance", "Process", "The processes to look at. Figures of the whole fleet do not depend on it.",
			`label_values(crmbridge_build_info{job=~"$job"}, instance)`).Multi(true).IncludeAll(true).AllValue(".*").
			Current(dashboard.VariableOption{Text: everything("All"), Value: everything("$__all")}),
	}
}

// links lead to the other dashboards, with the same choice and time, and to what to do.
func links() []link {
	page := func(title, name, about string) *dashboard.DashboardLinkBuilder {
		return dashboard.NewDashboardLinkBuilder(title).Type(dashboard.DashboardLinkTypeLink).Icon("doc").
			Tooltip(about).Url(documents + name).TargetBlank(true)
	}
	return []link{
		dashboard.NewDashboardLinkBuilder("crmbridge").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{tag}).
			Icon("dashboard").Tooltip("The other dashboards of crmbridge").IncludeVars(true).KeepTime(true),
		page("Runbook", "RUNBOOK.md", "What each alert means, what to look at, what to do"),
		page("Metrics", "README.md#metrics", "Every metric with its labels and its meaning"),
	}
}

// annotations are what happened, drawn over all panels.
func annotations() []annotation {
	mark := func(name, colour string) *dashboard.AnnotationQueryBuilder {
		return dashboard.NewAnnotationQueryBuilder().Name(name).Datasource(source()).
			Enable(true).IconColor(colour).Step("30s")
	}
	return []annotation{
		mark("Alerts", "red").
			Expr(`max by (alertname, severity) (ALERTS{alertname=~"Crmbridge.+", alertstate="firing"})`).
			TitleFormat("{{alertname}}").TagKeys("severity"),
		mark("Starts of processes", "blue").
			Expr(selected(`max by (instance) (process_start_time_seconds{PROCESS}) * 1000`)).
			TitleFormat("started").TextFormat("{{instance}}").UseValueForTime(true),
	}
}
