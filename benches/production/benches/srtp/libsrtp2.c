/* libsrtp2 with its structures kept on this side, so that the benchmark declares four functions and no layouts. */
#include <srtp2/srtp.h>
#include <stdlib.h>

/* profile: 0 AES_CM_128_HMAC_SHA1_80, 1 AEAD_AES_128_GCM, 2 AEAD_AES_256_GCM. NULL if libsrtp2 was built without it. */
void *glare_srtp_open(int profile, unsigned char *key_and_salt, int inbound)
{
    static int initialised;
    srtp_policy_t policy = { 0 };
    srtp_t session = NULL;

    if (!initialised && srtp_init() != srtp_err_status_ok)
        return NULL;
    initialised = 1;
    switch (profile) {
    case 0:
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
        break;
    case 1:
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
        break;
    default:
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtcp);
        break;
    }
    policy.ssrc.type = inbound ? ssrc_any_inbound : ssrc_any_outbound;
    policy.key = key_and_salt;
    policy.window_size = 128;
    if (srtp_create(&session, &policy) != srtp_err_status_ok)
        return NULL;
    return session;
}

int glare_srtp_protect(void *session, void *packet, int *len)
{
    return srtp_protect(session, packet, len);
}

int glare_srtp_unprotect(void *session, void *packet, int *len)
{
    return srtp_unprotect(session, packet, len);
}

void glare_srtp_close(void *session)
{
    srtp_dealloc(session);
}
