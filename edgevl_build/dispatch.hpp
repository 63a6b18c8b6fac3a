// The type support named rosidl_typesupport_c: hands out one of the two real ones by identifier. It stands for
// the library that CMake builds per package and that loads the two with dlopen; here all is one library.
// generate.py puts a DEFINE_MESSAGE or DEFINE_SERVICE per type behind it.
#include <cstring>
#include "rosidl_runtime_c/message_type_support_struct.h"
#include "rosidl_runtime_c/service_type_support_struct.h"
#include "rosidl_typesupport_c/identifier.h"
#include "rosidl_typesupport_fastrtps_c/identifier.h"
#include "rosidl_typesupport_introspection_c/identifier.h"
#include "rosidl_typesupport_interface/macros.h"

#define NAME(kind, impl, folder, type) \
  ROSIDL_TYPESUPPORT_INTERFACE__##kind##_SYMBOL_NAME(impl, edgevl, folder, type)
#define DEFINE_FIND(kind, handle_t, folder, type) \
  const handle_t * NAME(kind, rosidl_typesupport_fastrtps_c, folder, type)(); \
  const handle_t * NAME(kind, rosidl_typesupport_introspection_c, folder, type)(); \
  static const handle_t * find_##type(const handle_t * handle, const char * identifier) { \
    if (!std::strcmp(identifier, rosidl_typesupport_c__typesupport_identifier)) { \
      return handle; \
    } \
    if (!std::strcmp(identifier, rosidl_typesupport_fastrtps_c__identifier)) { \
      return NAME(kind, rosidl_typesupport_fastrtps_c, folder, type)(); \
    } \
    if (!std::strcmp(identifier, rosidl_typesupport_introspection_c__identifier)) { \
      return NAME(kind, rosidl_typesupport_introspection_c, folder, type)(); \
    } \
    return nullptr; \
  }
#define DEFINE_MESSAGE(folder, type) \
  DEFINE_FIND(MESSAGE, rosidl_message_type_support_t, folder, type) \
  const rosidl_message_type_support_t * NAME(MESSAGE, rosidl_typesupport_c, folder, type)() { \
    static const rosidl_message_type_support_t handle = { \
      rosidl_typesupport_c__typesupport_identifier, nullptr, find_##type, \
      edgevl__##folder##__##type##__get_type_hash, \
      edgevl__##folder##__##type##__get_type_description, \
      edgevl__##folder##__##type##__get_type_description_sources}; \
    return &handle; \
  }
#define DEFINE_SERVICE(folder, type) \
  DEFINE_FIND(SERVICE, rosidl_service_type_support_t, folder, type) \
  const rosidl_service_type_support_t * NAME(SERVICE, rosidl_typesupport_c, folder, type)() { \
    static const rosidl_service_type_support_t handle = { \
      rosidl_typesupport_c__typesupport_identifier, nullptr, find_##type, \
      NAME(MESSAGE, rosidl_typesupport_c, folder, type##_Request)(), \
      NAME(MESSAGE, rosidl_typesupport_c, folder, type##_Response)(), \
      NAME(MESSAGE, rosidl_typesupport_c, folder, type##_Event)(), \
      NAME(SERVICE_CREATE_EVENT_MESSAGE, rosidl_typesupport_c, folder, type), \
      NAME(SERVICE_DESTROY_EVENT_MESSAGE, rosidl_typesupport_c, folder, type), \
      edgevl__##folder##__##type##__get_type_hash, \
      edgevl__##folder##__##type##__get_type_description, \
      edgevl__##folder##__##type##__get_type_description_sources}; \
    return &handle; \
  }
