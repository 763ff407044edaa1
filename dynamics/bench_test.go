package dynamics_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// benchPage is a page of rows of 12 columns with labels.
func benchPage(rows int) ([]byte, dynamics.Query) {
	var b bytes.Buffer
	b.WriteString(`{"@odata.context":"x","value":[`)
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"@odata.etag":"W/\"%d\"","accountid":"%s","name":"Contoso %d \"AG\"","websiteurl":"https://contoso-%d.example","telephone1":"+49 30 %07d","address1_city":"Köln",`, i, guid(i), i, i, i)
		fmt.Fprintf(&b, `"industrycode@OData.Community.Display.V1.FormattedValue":"Consulting","industrycode":%d,"accountclassificationcode@OData.Community.Display.V1.FormattedValue":"Default Value","accountclassificationcode":1,`, i%33)
		fmt.Fprintf(&b, `"numberofemployees@OData.Community.Display.V1.FormattedValue":"%d","numberofemployees":%d,"revenue@OData.Community.Display.V1.FormattedValue":"$%d.00","revenue":%d.0000,`, i, i, i, i)
		fmt.Fprintf(&b, `"createdon@OData.Community.Display.V1.FormattedValue":"4/7/2023 2:59 PM","createdon":"2023-04-07T21:59:01Z","donotemail@OData.Community.Display.V1.FormattedValue":"Allow","donotemail":false,`)
		fmt.Fprintf(&b, `"_ownerid_value@OData.Community.Display.V1.FormattedValue":"Ada Example","_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"systemuser","_ownerid_value":"%s","address1_country":"Germany"}`, guid(1))
	}
	b.WriteString(`]}`)
	return b.Bytes(), dynamics.Query{PageSize: 5000, Select: []dynamics.Output{
		output("accountid", dynamics.UniqueID), output("name", dynamics.Text), output("websiteurl", dynamics.Text),
		output("telephone1", dynamics.Text),
		output("address1_city", dynamics.Text), output("industrycode", dynamics.Choice),
		output("accountclassificationcode", dynamics.Choice),
		output("numberofemployees", dynamics.Integer), output("revenue", dynamics.Money),
		output("createdon", dynamics.DateTime),
		output("donotemail", dynamics.Boolean), output("ownerid", dynamics.Lookup),
	}}
}

// canned answers without a network, so that the pass is what is measured.
type canned struct{ body []byte }

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c.body)),
		Request: req}, nil
}

func BenchmarkPage(b *testing.B) { benchmarkPage(b, "t") }

// BenchmarkPageSearched is the same page while its token is looked for in it.
func BenchmarkPageSearched(b *testing.B) { benchmarkPage(b, jwtToken+jwtToken[len(jwtToken)-80:]) }

// cannedSession asks an environment that answers with body.
func cannedSession(t testing.TB, body []byte, token string) (session *dynamics.Session, closing func()) {
	hosts := policy(t, publicCloud, false)
	source := &tokens{access: dynamics.Access{Tables: told, Environment: "https://o.crm.dynamics.com",
		Token: dynamics.NewSecret(token)}}
	client, err := dynamics.New(dynamics.Config{Tokens: source, Hosts: hosts, Transport: canned{body}})
	if err != nil {
		t.Fatal(err)
	}
	session, err = client.Open(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	return session, client.Close
}

func benchmarkPage(b *testing.B, token string) {
	body, query := benchPage(5000)
	session, closing := cannedSession(b, body, token)
	defer closing()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		page, err := firstPage(b.Context(), session, query)
		if err != nil || page.Len() != 5000 {
			b.Fatal(err)
		}
		page.Release()
	}
}

// BenchmarkPageStructs is the same work through encoding/json's structs.
func BenchmarkPageStructs(b *testing.B) {
	body, _ := benchPage(5000)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		structs(b, body)
	}
}

func structs(t testing.TB, body []byte) {
	type in struct {
		Value []struct {
			ID             string      `json:"accountid"`
			Name           *string     `json:"name"`
			Website        *string     `json:"websiteurl"`
			Phone          *string     `json:"telephone1"`
			City           *string     `json:"address1_city"`
			Industry       *int        `json:"industrycode"`
			IndustryLabel  string      `json:"industrycode@OData.Community.Display.V1.FormattedValue"`
			Class          *int        `json:"accountclassificationcode"`
			ClassLabel     string      `json:"accountclassificationcode@OData.Community.Display.V1.FormattedValue"`
			Staff          *int        `json:"numberofemployees"`
			Revenue        json.Number `json:"revenue"`
			Created        *string     `json:"createdon"`
			DoNotEmail     *bool       `json:"donotemail"`
			Owner          *string     `json:"_ownerid_value"`
			OwnerName      *string     `json:"_ownerid_value@OData.Community.Display.V1.FormattedValue"`
			OwnerLogicName *string     `json:"_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"`
		} `json:"value"`
		Next string `json:"@odata.nextLink"`
	}
	type choice struct {
		Value *int   `json:"value"`
		Label string `json:"label"`
	}
	type lookup struct {
		ID     *string `json:"id"`
		Name   *string `json:"name"`
		Entity *string `json:"entity"`
	}
	type out struct {
		ID         string      `json:"accountid"`
		Name       *string     `json:"name"`
		Website    *string     `json:"websiteurl"`
		Phone      *string     `json:"telephone1"`
		City       *string     `json:"address1_city"`
		Industry   choice      `json:"industrycode"`
		Class      choice      `json:"accountclassificationcode"`
		Staff      *int        `json:"numberofemployees"`
		Revenue    json.Number `json:"revenue"`
		Created    *string     `json:"createdon"`
		DoNotEmail *bool       `json:"donotemail"`
		Owner      lookup      `json:"ownerid"`
	}
	var page in
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&page); err != nil || len(page.Value) == 0 {
		t.Fatal(err)
	}
	rows := make([]out, 0, len(page.Value))
	for _, v := range page.Value {
		rows = append(rows, out{v.ID, v.Name, v.Website, v.Phone, v.City, choice{v.Industry, v.IndustryLabel},
			choice{v.Class, v.ClassLabel}, v.Staff, v.Revenue, v.Created, v.DoNotEmail,
			lookup{v.Owner, v.OwnerName, v.OwnerLogicName}})
	}
	if _, err := json.Marshal(rows); err != nil {
		t.Fatal(err)
	}
}
