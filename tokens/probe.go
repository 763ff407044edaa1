package tokens

import (
	"context"
	"errors"
	"net/url"
	"time"
)

// unknownApplication is Entra's number for an application that a directory does not have.
const unknownApplication = 700016

// TryCredential finds out whether Entra accepts how the application proves itself. In the
// directory tenant, of a connection to environment, it asks for a token of the application
// itself, which is thrown away; whether that would be let into the environment does not
// matter. tenant may be "": then a refresh token is redeemed that there never was. Entra
// checks the application before the token, as far as is known, so that its refusal of the
// token means that it knows the application.
//
// The error is an *Error: configuration_error where the application is refused; unavailable,
// throttled and the like where nobody knows.
func (e *Entra) TryCredential(ctx context.Context, tenant, environment string) error {
	var err error
	if tenant != "" {
		q := question{GrantClientCredentials, environment, e.endpoint(tenant).TokenURL, nil}
		_, err = e.post(ctx, q, []string{environment + "/.default"}, url.Values{})
	} else {
		unknown := Secret("crmbridge-doctor")
		q := question{grantRefresh, environment, e.endpoint("organizations").TokenURL, []Secret{unknown}}
		_, err = e.post(ctx, q, []string{"openid"},
			url.Values{"grant_type": {grantRefresh}, "refresh_token": {unknown.Reveal()}})
	}
	f, ok := errors.AsType[*Error](err)
	switch {
	case err == nil, !ok:
		return err
	case f.Retryable:
		return f
	case f.AADSTS == unknownApplication: // for one directory that is a matter of consent
		unknown := *f
		unknown.Code = CodeConfigurationError
		return &unknown
	case f.Code == CodeConfigurationError && (ofAll[f.AADSTS] || f.AADSTS == 0):
		return f
	case f.Code == CodeUpstreamError:
		return f
	}
	return nil // it is known, and was refused for something else
}

// CertificateEnd is when the certificate in a file ends. Errors as [CheckCertificateFile].
func CertificateEnd(file string) (time.Time, error) {
	held, err := newWatchedCertificate(file, nil)
	if err != nil {
		return time.Time{}, err
	}
	return held.value.to, nil
}
