package emulator

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// csdl is $metadata: the schema as CSDL, of the tables and functions that there are. The real one is several megabytes.
func (c *call) csdl(path []segment) (*answer, *fault) {
	switch {
	case len(path) > 1:
		return nil, noSegment(path[1].name)
	case path[0].hasKey:
		return nil, noSegment(path[0].name)
	case c.method != http.MethodGet && c.method != http.MethodHead:
		return nil, methodRefused(c.method)
	}
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>` +
		`<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm"><EntityType Name="crmbaseentity" Abstract="true" />`)
	tables := c.tables()
	for _, set := range sets(tables) {
		entityType(&b, tables[set])
	}
	b.WriteString(functions)
	b.WriteString(`<EntityContainer Name="System">`)
	for _, set := range sets(tables) {
		t := tables[set]
		fmt.Fprintf(&b, `<EntitySet Name="%s" EntityType="%s">`, set, t.typeName())
		for _, name := range slices.Sorted(maps.Keys(t.relations)) {
			fmt.Fprintf(&b, `<NavigationPropertyBinding Path="%s" Target="%s" />`, name, t.relations[name].target.set)
		}
		b.WriteString("</EntitySet>")
	}
	b.WriteString(`<FunctionImport Name="WhoAmI" Function="Microsoft.Dynamics.CRM.WhoAmI" />` +
		`<FunctionImport Name="RetrieveRolePrivilegesRole" Function="Microsoft.Dynamics.CRM.RetrieveRolePrivilegesRole" />` +
		`<FunctionImport Name="RetrieveProvisionedLanguages" Function="Microsoft.Dynamics.CRM.RetrieveProvisionedLanguages" />` +
		`</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>`)
	return &answer{status: http.StatusOK, body: b.Bytes(), header: http.Header{"Content-Type": {"application/xml"}}}, nil
}

func entityType(b *bytes.Buffer, t *table) {
	fmt.Fprintf(b, `<EntityType Name="%s" BaseType="mscrm.crmbaseentity"><Key><PropertyRef Name="%s" /></Key>`,
		t.logical, t.key)
	for _, col := range t.inWebAPI() {
		fmt.Fprintf(b, `<Property Name="%s" Type="%s"`, col.property(), col.kind.edm())
		if col.name == t.key {
			b.WriteString(` Nullable="false"`)
		}
		if col.kind.scaled() {
			b.WriteString(` Scale="Variable"`)
		}
		b.WriteString(">")
		if col.kind == kindLookup || col.kind == kindGUID && col.name != t.key {
			b.WriteString(`<Annotation Term="Org.OData.Core.V1.Computed" Bool="true" />`)
		}
		b.WriteString(`<Annotation Term="Org.OData.Core.V1.Description" String="`)
		_ = xml.EscapeText(b, []byte(col.label)) // a Buffer does not fail
		b.WriteString(`" /></Property>`)
	}
	for _, name := range slices.Sorted(maps.Keys(t.relations)) {
		form := `<NavigationProperty Name="%s" Type="Collection(mscrm.%s)" />`
		if t.relations[name].one {
			form = `<NavigationProperty Name="%s" Type="mscrm.%s" />`
		}
		fmt.Fprintf(b, form, name, t.relations[name].target.logical)
	}
	b.WriteString("</EntityType>")
}

// functions and their types, in alias form as Microsoft's document has them.
const functions = `<ComplexType Name="WhoAmIResponse"><Property Name="BusinessUnitId" Type="Edm.Guid" Nullable="false" /><Property Name="UserId" Type="Edm.Guid" Nullable="false" />` +
	`<Property Name="OrganizationId" Type="Edm.Guid" Nullable="false" /></ComplexType>` +
	`<EnumType Name="PrivilegeDepth"><Member Name="Basic" Value="0" /><Member Name="Local" Value="1" /><Member Name="Deep" Value="2" /><Member Name="Global" Value="3" /></EnumType>` +
	`<ComplexType Name="RolePrivilege"><Property Name="Depth" Type="mscrm.PrivilegeDepth" Nullable="false" /><Property Name="PrivilegeId" Type="Edm.Guid" Nullable="false" />` +
	`<Property Name="BusinessUnitId" Type="Edm.Guid" Nullable="false" /><Property Name="PrivilegeName" Type="Edm.String" /><Property Name="RecordFilterId" Type="Edm.Guid" Nullable="false" />` +
	`<Property Name="RecordFilterUniqueName" Type="Edm.String" /></ComplexType>` +
	`<ComplexType Name="RetrieveUserPrivilegesResponse"><Property Name="RolePrivileges" Type="Collection(mscrm.RolePrivilege)" /></ComplexType>` +
	`<ComplexType Name="RetrieveRolePrivilegesRoleResponse"><Property Name="RolePrivileges" Type="Collection(mscrm.RolePrivilege)" /></ComplexType>` +
	`<ComplexType Name="RetrieveProvisionedLanguagesResponse"><Property Name="RetrieveProvisionedLanguages" Type="Collection(Edm.Int32)" /></ComplexType>` +
	`<Function Name="WhoAmI"><ReturnType Type="mscrm.WhoAmIResponse" Nullable="false" /></Function>` +
	`<Function Name="RetrieveUserPrivileges" IsBound="true"><Parameter Name="entity" Type="mscrm.systemuser" Nullable="false" /><ReturnType Type="mscrm.RetrieveUserPrivilegesResponse" Nullable="false" /></Function>` +
	`<ComplexType Name="AttributePrivilege"><Property Name="AttributeId" Type="Edm.Guid" Nullable="false" /><Property Name="CanCreate" Type="Edm.Int32" Nullable="false" />` +
	`<Property Name="CanRead" Type="Edm.Int32" Nullable="false" /><Property Name="CanReadUnMasked" Type="Edm.Int32" Nullable="false" /><Property Name="CanUpdate" Type="Edm.Int32" Nullable="false" /></ComplexType>` +
	`<ComplexType Name="RetrievePrincipalAttributePrivilegesResponse"><Property Name="AttributePrivileges" Type="Collection(mscrm.AttributePrivilege)" /></ComplexType>` +
	`<Function Name="RetrievePrincipalAttributePrivileges" IsBound="true"><Parameter Name="entity" Type="mscrm.systemuser" Nullable="false" /><ReturnType Type="mscrm.RetrievePrincipalAttributePrivilegesResponse" Nullable="false" /></Function>` +
	`<Function Name="RetrievePrincipalAttributePrivileges" IsBound="true"><Parameter Name="entity" Type="mscrm.team" Nullable="false" /><ReturnType Type="mscrm.RetrievePrincipalAttributePrivilegesResponse" Nullable="false" /></Function>` +
	`<Function Name="RetrieveRolePrivilegesRole"><Parameter Name="RoleId" Type="Edm.Guid" Nullable="false" /><ReturnType Type="mscrm.RetrieveRolePrivilegesRoleResponse" Nullable="false" /></Function>` +
	`<Function Name="RetrieveProvisionedLanguages"><ReturnType Type="mscrm.RetrieveProvisionedLanguagesResponse" Nullable="false" /></Function>`
