package main

import (
	"bytes"
	"fmt"
)

// rowMark stands once in each row, in its name: rows of a reply are counted by it.
const rowMark = '~'

// speedFields are the columns that speed asks for, by crmbridge's names.
var speedFields = []string{"id", "name", "city", "website", "employees", "revenue", "industry", "owner", "created_at", "do_not_email"}

// speedColumns are the same by Dataverse's names.
const speedColumns = "accountid,name,address1_city,websiteurl,numberofemployees,revenue,industrycode,_ownerid_value,createdon,donotemail"

// formatted is the annotation with the text that people read.
const formatted = "OData.Community.Display.V1.FormattedValue"

// speedID is the id of row i.
func speedID(i int) string { return fmt.Sprintf("140db069-2e72-ed11-b596-%012x", i) }

// speedRevenue is the revenue of row i, with its digits.
func speedRevenue(i int) string { return fmt.Sprintf("%d.%02d00", 1000+7919*i, i%100) }

// speedIndustries are labels of industrycode, by value.
var speedIndustries = []string{1: "Accounting", "Agriculture and Non-petrol Natural Resource Extraction",
	"Broadcasting Printing and Publishing", "Brokers", "Building Supply Retail", "Business Services", "Consulting"}

// stubPage is a page of rows as Dataverse writes it, with the annotations that crmbridge asks
// for: the formatted value of everything but text and ids, and what a lookup points to.
func stubPage(origin string, rows int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"@odata.context":"%sapi/data/v9.2/$metadata#accounts(%s)","value":[`, origin, speedColumns)
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		industry := 1 + i%(len(speedIndustries)-1)
		fmt.Fprintf(&b, `{"@odata.etag":"W/\"%d\"","accountid":"%s","name":"Jansen & Müller %c%d AG","address1_city":"San Francisco",`+
			`"websiteurl":"https://www.jansen-%d.example/",`, 5_000_000+i, speedID(i), rowMark, i, i)
		fmt.Fprintf(&b, `"numberofemployees@%s":"%d","numberofemployees":%[2]d,"revenue@%[1]s":"$%[3]s","revenue":%[3]s,`, formatted, i%5000,
			speedRevenue(i))
		fmt.Fprintf(&b, `"industrycode@%s":"%s","industrycode":%d,`, formatted, speedIndustries[industry], industry)
		fmt.Fprintf(&b, `"_ownerid_value@%s":"Person %d","_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"systemuser",`+
			`"_ownerid_value":"d96e9f55-30e9-ed11-8847-%012x",`, formatted, i%32, i%32)
		fmt.Fprintf(&b, `"createdon@%s":"4/7/2023 %d:%02d PM","createdon":"2023-04-07T%02d:%02d:11Z",`, formatted, 1+i%11, i%60, 13+i%11, i%60)
		fmt.Fprintf(&b, `"donotemail@%s":"Allow","donotemail":false}`, formatted)
	}
	b.WriteString("]}")
	return b.Bytes()
}
