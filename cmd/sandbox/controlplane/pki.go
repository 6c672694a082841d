// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/utils/clock"
)

const (
	certificateLife = 365 * 24 * time.Hour
	// backdated keeps a certificate valid on a machine whose clock steps back a little.
	backdated = time.Hour

	serviceRange = "10.96.0.0/16"
	// serviceAddress is the first address of serviceRange: the kubernetes Service gets it.
	serviceAddress = "10.96.0.1"
)

// authority is the cluster's certificate authority: clients and servers of this sandbox trust it
// and nobody else does. Its key never leaves the process.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	clock       clock.PassiveClock
}

// keyPair is a certificate and its private key, both PEM.
type keyPair struct {
	certificate, key []byte
}

func newAuthority(c clock.PassiveClock) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the authority's key: %w", err)
	}
	certificate, err := certutil.NewSelfSignedCACert(certutil.Config{
		CommonName: "sandbox-ca",
		NotBefore:  c.Now().Add(-backdated),
	}, key)
	if err != nil {
		return nil, fmt.Errorf("making the authority's certificate: %w", err)
	}
	return &authority{certificate: certificate, key: key, clock: c}, nil
}

// pem is the authority's certificate.
func (a *authority) pem() ([]byte, error) {
	encoded, err := certutil.EncodeCertificates(a.certificate)
	if err != nil {
		return nil, fmt.Errorf("encoding the authority's certificate: %w", err)
	}
	return encoded, nil
}

// client issues a certificate by which the API server knows a user and its groups.
func (a *authority) client(user string, groups ...string) (keyPair, error) {
	return a.issue(certutil.Config{
		CommonName:   user,
		Organization: groups,
		Usages:       []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// server issues a certificate for a program that listens on loopback.
func (a *authority) server(name string) (keyPair, error) {
	return a.issue(certutil.Config{
		CommonName: name,
		Usages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		AltNames: certutil.AltNames{
			DNSNames: []string{
				"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local",
			},
			IPs: []net.IP{net.ParseIP(loopback), net.ParseIP(serviceAddress)},
		},
	})
}

func (a *authority) issue(config certutil.Config) (keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keyPair{}, fmt.Errorf("making the key of %q: %w", config.CommonName, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return keyPair{}, fmt.Errorf("making the serial number for %q: %w", config.CommonName, err)
	}
	now := a.clock.Now()
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: config.CommonName, Organization: config.Organization},
		NotBefore:    now.Add(-backdated).UTC(),
		NotAfter:     now.Add(certificateLife).UTC(),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  config.Usages,
		DNSNames:     config.AltNames.DNSNames,
		IPAddresses:  config.AltNames.IPs,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return keyPair{}, fmt.Errorf("signing the certificate of %q: %w", config.CommonName, err)
	}
	encoded, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return keyPair{}, fmt.Errorf("encoding the key of %q: %w", config.CommonName, err)
	}
	return keyPair{
		certificate: pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: der}),
		key:         encoded,
	}, nil
}

// The files in the pki folder that flags name.
const (
	caFile             = "ca.crt"
	serviceAccountFile = "service-account"
	serverName         = "server"
	frontProxyName     = "front-proxy"
)

// writeFiles puts what the programs read from files into dir: the authority's certificate, the
// serving and front proxy pairs, and the key that signs service account tokens.
func (a *authority) writeFiles(dir string) error {
	ca, err := a.pem()
	if err != nil {
		return err
	}
	serving, err := a.server("sandbox")
	if err != nil {
		return err
	}
	frontProxy, err := a.client(frontProxyName)
	if err != nil {
		return err
	}
	tokens, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the service account key: %w", err)
	}
	private, err := keyutil.MarshalPrivateKeyToPEM(tokens)
	if err != nil {
		return fmt.Errorf("encoding the service account key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(tokens.Public())
	if err != nil {
		return fmt.Errorf("encoding the service account key: %w", err)
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{caFile, ca},
		{serverName + ".crt", serving.certificate},
		{serverName + ".key", serving.key},
		{frontProxyName + ".crt", frontProxy.certificate},
		{frontProxyName + ".key", frontProxy.key},
		{serviceAccountFile + ".key", private},
		{serviceAccountFile + ".pub", pem.EncodeToMemory(&pem.Block{Type: keyutil.PublicKeyBlockType, Bytes: public})},
	} {
		if err := os.WriteFile(filepath.Join(dir, file.name), file.content, 0o600); err != nil {
			return fmt.Errorf("writing certificates: %w", err)
		}
	}
	return nil
}
