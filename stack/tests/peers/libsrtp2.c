/*
 * libsrtp2 as a peer: sessions, protection and its removal, asked for over stdin and answered over stdout.
 *
 * It runs in a process of its own, so that a test stays free of unsafe code and outlives whatever a damaged packet does here.
 * Numbers are big-endian. A batch comes in whole before its answers go out, so that neither side ever writes while the other one
 * does, however little the pipes hold.
 *
 *   batch     u32 length of what follows, then requests
 *   request   u32 length of what follows, u8 command, u32 session, then what the command takes
 *   answer    u32 length of what follows, u8 status, then what the command gives; one per request, in order
 *
 *   VERSION                                                     the library's version string
 *   CREATE           u8 direction, u8 profile, u8 has_ssrc, u32 ssrc, u32 window, u8 allow_repeat_tx, u8 keys, and for each key
 *                    u8 length and the MKI, u8 length and the master key with the master salt behind it
 *   PROTECT_RTP, PROTECT_RTCP       u32 key's number, the packet      the packet
 *   UNPROTECT_RTP, UNPROTECT_RTCP   the packet                        the packet
 *   SET_ROC          u32 ssrc, u32 roc
 *   GET_ROC          u32 ssrc                                   u32 roc
 *   DESTROY
 *
 * A session has MKIs if its first key has one. Statuses are libsrtp2's, and two of our own. End of input ends the program; input
 * that breaks the framing ends it with status 2.
 */

#include <srtp2/srtp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum command {
    VERSION = 0,
    CREATE = 1,
    PROTECT_RTP = 2,
    PROTECT_RTCP = 3,
    UNPROTECT_RTP = 4,
    UNPROTECT_RTCP = 5,
    SET_ROC = 6,
    GET_ROC = 7,
    DESTROY = 8,
};

/* Above every status of libsrtp2. */
enum { BAD_REQUEST = 128, NO_SESSION = 129 };

enum {
    SESSIONS_MAX = 1024,
    BATCH_BYTES_MAX = 1 << 18,
    PACKET_BYTES_MAX = 1 << 16,
    /* What srtp_protect_rtcp may append: the trailer and the word with the SRTCP index. */
    TAIL_BYTES_MAX = SRTP_MAX_TRAILER_LEN + 4,
};

struct session {
    srtp_t context;
    bool exists;
    bool has_mki;
};

struct profile {
    void (*set_rtp)(srtp_crypto_policy_t *policy);
    void (*set_rtcp)(srtp_crypto_policy_t *policy);
    size_t key_and_salt_bytes;
};

/* What is left of a request. Reading past its end gives zeros and is remembered. */
struct reader {
    const uint8_t *at;
    size_t left_bytes;
    bool is_short;
};

/* RFC 4568 6.2, RFC 6188 and RFC 7714: with a tag of 32 bits for SRTP, SRTCP keeps its 80 bits. */
static const struct profile PROFILES[] = {
    { srtp_crypto_policy_set_rtp_default, srtp_crypto_policy_set_rtcp_default, SRTP_AES_ICM_128_KEY_LEN_WSALT },
    { srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32, srtp_crypto_policy_set_rtcp_default, SRTP_AES_ICM_128_KEY_LEN_WSALT },
    { srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80, srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80,
      SRTP_AES_ICM_192_KEY_LEN_WSALT },
    { srtp_crypto_policy_set_aes_cm_192_hmac_sha1_32, srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80,
      SRTP_AES_ICM_192_KEY_LEN_WSALT },
    { srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80, srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80,
      SRTP_AES_ICM_256_KEY_LEN_WSALT },
    { srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32, srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80,
      SRTP_AES_ICM_256_KEY_LEN_WSALT },
    { srtp_crypto_policy_set_aes_gcm_128_16_auth, srtp_crypto_policy_set_aes_gcm_128_16_auth, SRTP_AES_GCM_128_KEY_LEN_WSALT },
    { srtp_crypto_policy_set_aes_gcm_256_16_auth, srtp_crypto_policy_set_aes_gcm_256_16_auth, SRTP_AES_GCM_256_KEY_LEN_WSALT },
};

static struct session sessions[SESSIONS_MAX];
static uint8_t batch[BATCH_BYTES_MAX];

static const uint8_t *take(struct reader *reader, size_t bytes)
{
    static const uint8_t zeros[UINT8_MAX];
    if (reader->left_bytes < bytes) {
        reader->is_short = true;
        reader->left_bytes = 0;
        return zeros;
    }
    const uint8_t *taken = reader->at;
    reader->at += bytes;
    reader->left_bytes -= bytes;
    return taken;
}

static uint8_t take_u8(struct reader *reader)
{
    return take(reader, 1)[0];
}

static uint32_t take_u32(struct reader *reader)
{
    const uint8_t *bytes = take(reader, 4);
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_u32(uint8_t *to, uint32_t number)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (uint8_t)(number >> (24 - 8 * i));
    }
}

/* Whether it got out is asked once per batch, of the stream. */
static void answer(uint8_t status, const void *body, size_t bytes)
{
    uint8_t head[5];
    put_u32(head, (uint32_t)bytes + 1);
    head[4] = status;
    fwrite(head, 1, sizeof head, stdout);
    if (bytes != 0) {
        fwrite(body, 1, bytes, stdout);
    }
}

static void create(struct session *session, struct reader *request)
{
    srtp_policy_t policy;
    srtp_master_key_t keys[SRTP_MAX_NUM_MASTER_KEYS];
    srtp_master_key_t *key_pointers[SRTP_MAX_NUM_MASTER_KEYS];

    bool is_receiver = take_u8(request) != 0;
    uint8_t profile = take_u8(request);
    bool has_ssrc = take_u8(request) != 0;
    uint32_t ssrc = take_u32(request);
    uint32_t window = take_u32(request);
    uint8_t allow_repeat_tx = take_u8(request);
    uint8_t key_count = take_u8(request);
    if (session->exists || profile >= sizeof PROFILES / sizeof PROFILES[0] || key_count == 0 ||
        key_count > SRTP_MAX_NUM_MASTER_KEYS) {
        answer(BAD_REQUEST, NULL, 0);
        return;
    }
    for (uint8_t i = 0; i < key_count; i++) {
        /* libsrtp2 copies both; it only lacks the const. */
        keys[i].mki_size = take_u8(request);
        keys[i].mki_id = (unsigned char *)(uintptr_t)take(request, keys[i].mki_size);
        size_t key_bytes = take_u8(request);
        keys[i].key = (unsigned char *)(uintptr_t)take(request, key_bytes);
        key_pointers[i] = &keys[i];
        /* libsrtp2 reads as many bytes as the profile has, and is not told how many there are. */
        if (key_bytes != PROFILES[profile].key_and_salt_bytes) {
            answer(BAD_REQUEST, NULL, 0);
            return;
        }
    }
    if (request->is_short || request->left_bytes != 0) {
        answer(BAD_REQUEST, NULL, 0);
        return;
    }

    memset(&policy, 0, sizeof policy);
    PROFILES[profile].set_rtp(&policy.rtp);
    PROFILES[profile].set_rtcp(&policy.rtcp);
    policy.ssrc.type = has_ssrc ? ssrc_specific : is_receiver ? ssrc_any_inbound : ssrc_any_outbound;
    policy.ssrc.value = ssrc;
    policy.keys = key_pointers;
    policy.num_master_keys = key_count;
    policy.window_size = window;
    policy.allow_repeat_tx = allow_repeat_tx;
    srtp_err_status_t status = srtp_create(&session->context, &policy);
    session->exists = status == srtp_err_status_ok;
    session->has_mki = keys[0].mki_size != 0;
    answer((uint8_t)status, NULL, 0);
}

static void process(const struct session *session, enum command command, struct reader *request)
{
    /* libsrtp2 wants packets at a multiple of four bytes, and room behind them. */
    static _Alignas(16) uint8_t packet[PACKET_BYTES_MAX + TAIL_BYTES_MAX];

    uint32_t key = 0;
    if (command == PROTECT_RTP || command == PROTECT_RTCP) {
        key = take_u32(request);
    }
    if (request->is_short || request->left_bytes > PACKET_BYTES_MAX) {
        answer(BAD_REQUEST, NULL, 0);
        return;
    }
    int bytes = (int)request->left_bytes;
    memcpy(packet, take(request, request->left_bytes), (size_t)bytes);

    srtp_err_status_t status = srtp_err_status_fail;
    switch (command) {
    case PROTECT_RTP:
        status = srtp_protect_mki(session->context, packet, &bytes, session->has_mki, key);
        break;
    case PROTECT_RTCP:
        status = srtp_protect_rtcp_mki(session->context, packet, &bytes, session->has_mki, key);
        break;
    case UNPROTECT_RTP:
        status = srtp_unprotect_mki(session->context, packet, &bytes, session->has_mki);
        break;
    case UNPROTECT_RTCP:
        status = srtp_unprotect_rtcp_mki(session->context, packet, &bytes, session->has_mki);
        break;
    default:
        break;
    }
    answer((uint8_t)status, packet, status == srtp_err_status_ok ? (size_t)bytes : 0);
}

static void rollover_counter(const struct session *session, enum command command, struct reader *request)
{
    uint32_t ssrc = take_u32(request);
    uint32_t roc = command == SET_ROC ? take_u32(request) : 0;
    if (request->is_short || request->left_bytes != 0) {
        answer(BAD_REQUEST, NULL, 0);
        return;
    }
    if (command == SET_ROC) {
        answer((uint8_t)srtp_set_stream_roc(session->context, ssrc, roc), NULL, 0);
        return;
    }
    uint8_t body[4];
    srtp_err_status_t status = srtp_get_stream_roc(session->context, ssrc, &roc);
    put_u32(body, roc);
    answer((uint8_t)status, body, status == srtp_err_status_ok ? sizeof body : 0);
}

static void serve(struct reader request)
{
    uint8_t command = take_u8(&request);
    uint32_t id = take_u32(&request);
    if (request.is_short) {
        answer(BAD_REQUEST, NULL, 0);
        return;
    }
    if (command == VERSION) {
        const char *version = srtp_get_version_string();
        answer(srtp_err_status_ok, version, strlen(version));
        return;
    }
    if (id >= SESSIONS_MAX || (command != CREATE && !sessions[id].exists)) {
        answer(NO_SESSION, NULL, 0);
        return;
    }
    struct session *session = &sessions[id];
    switch (command) {
    case CREATE:
        create(session, &request);
        break;
    case PROTECT_RTP:
    case PROTECT_RTCP:
    case UNPROTECT_RTP:
    case UNPROTECT_RTCP:
        process(session, command, &request);
        break;
    case SET_ROC:
    case GET_ROC:
        rollover_counter(session, command, &request);
        break;
    case DESTROY:
        session->exists = false;
        answer((uint8_t)srtp_dealloc(session->context), NULL, 0);
        break;
    default:
        answer(BAD_REQUEST, NULL, 0);
        break;
    }
}

/* An SSRC seen in both directions, or a key near its end: the test asks for such things, and the statuses tell of them. */
static void ignore_event(srtp_event_data_t *event)
{
    (void)event;
}

static int broken(const char *what)
{
    fprintf(stderr, "libsrtp2 peer: %s\n", what);
    return 2;
}

int main(void)
{
    if (srtp_init() != srtp_err_status_ok || srtp_install_event_handler(ignore_event) != srtp_err_status_ok) {
        return broken("expected srtp_init to succeed");
    }
    uint8_t head[4];
    size_t head_bytes;
    while ((head_bytes = fread(head, 1, sizeof head, stdin)) == sizeof head) {
        struct reader length = { head, sizeof head, false };
        size_t batch_bytes = take_u32(&length);
        if (batch_bytes > sizeof batch) {
            return broken("a batch longer than the limit");
        }
        if (fread(batch, 1, batch_bytes, stdin) != batch_bytes) {
            return broken("input ended within a batch");
        }
        struct reader requests = { batch, batch_bytes, false };
        while (requests.left_bytes != 0) {
            size_t request_bytes = take_u32(&requests);
            struct reader request = { requests.at, request_bytes, false };
            take(&requests, request_bytes);
            if (requests.is_short) {
                return broken("a request longer than its batch");
            }
            serve(request);
        }
        if (fflush(stdout) != 0 || ferror(stdout)) {
            return broken("nobody reads the answers");
        }
    }
    return head_bytes == 0 ? 0 : broken("input ended within a length");
}
